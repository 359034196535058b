"""Bad inputs on the command line: values, paths, specs, columns, shapes of the line itself."""

import os
import random
import socket
from pathlib import Path
from typing import Any

from typer.main import get_command

from holdfast.cli.app import app
from measurements.fault_drill.spoil import WORDS, spoiled_text

__all__ = ["BASES", "WORD_KINDS", "Argv"]

Argv = list[str]
_TUNE = ["--model", "model", "--data", "data.jsonl", "--output", "out", "--max-steps", "1",
         "--batch-size", "2", "--limit", "4"]  # fmt: skip
BASES: dict[str, Argv] = {
    "tune": ["tune", *_TUNE],
    "lora": ["tune", *_TUNE, "--lora", "--lora-r", "2", "--defense", "safe_mixing:share=0.5",
             "--safe", "data.jsonl"],
    "vector": ["tune", *_TUNE, "--harmful", "harmful.csv", "--benign", "data.jsonl", "--defense",
               "security_vectors:epochs=1,max_harmful_nll=100,max_benign_kl=100"],
    "align": ["align", *_TUNE, "--defense", "vaccine", "--harmful", "harmful.csv"],
    "repair": ["repair", "--model", "model", "--harmful", "harmful.csv", "--output", "out"],
    "adapter": ["repair", "--model", "model", "--adapter", "adapter", "--harmful", "harmful.csv",
                "--output", "out"],
    "evaluate": ["evaluate", "--model", "model", "--task", "data.jsonl", "--harmful",
                 "harmful.csv", "--max-new-tokens", "1", "--limit", "4"],
    "analyze": ["analyze", "--model", "model", "--harmful", "harmful24.jsonl", "--benign",
                "benign24.jsonl", "--output", "out"],
    "bench": ["bench", "recipe.yaml", "--out", "bench", "--dry-run"],
    "compare": ["compare", "first", "second"],
    "claims": ["claims", "bench.json"],
    "list": ["list", "panacea"],
    "organism": ["organism", "check", "nowhere"],
}  # fmt: skip
_DEFENSES = (
    "security_vectors", "panacea", "booster", "lisa", "vaccine", "safe_mixing", "safe_lora",
    "resta", "ml_lr:modules=modules.json", "swat:modules=modules.json", "constrained_sft",
    "random_perturbation", "panaceia",
)  # fmt: skip
_KEYS = ("rho", "lam", "alpha", "share", "epochs", "batch_size", "mode", "modules", "rank", "x",
         "aligned", "base", "subset", "seed", "attach", "learning_rate", "every", "k1")  # fmt: skip
_LONG = {"--workers", "--executor"}
"""What starts processes of its own stays as it is."""


def _flags(command: str) -> Argv:
    commands: Any = get_command(app).commands  # type: ignore[attr-defined]
    found: Any = commands[command]
    found = found.commands["check"] if hasattr(found, "commands") else found
    return [flag for p in found.params for flag in p.opts if flag not in _LONG]


def option(rng: random.Random, _: Path) -> Argv:
    """Give one option a strange value, beside the base's or instead of it."""
    base = list(BASES[rng.choice(list(BASES))])
    flag = rng.choice(_flags(base[0]))
    value = rng.choice(WORDS)
    if flag in base and base.index(flag) + 1 < len(base):
        base[base.index(flag) + 1] = value
        return base
    if not flag.startswith("--"):
        return [*base, value]
    return [*base, flag, value] if rng.random() < 0.9 else [*base, f"{flag}={value}"]


def path(rng: random.Random, folder: Path) -> Argv:
    """Put something else than a file or folder where one of the base's arguments leads."""
    base = list(BASES[rng.choice(list(BASES))])
    strange = rng.choice([*_things(folder), *WORDS, "a\0b", "\ud800", "d/" * 2500, "n" * 252])
    places = [n for n, word in enumerate(base) if n and not word.startswith("-")]
    place = rng.choice(places)
    base[place] = strange
    return [*base, "--overwrite"] if rng.random() < 0.2 else base


def _things(folder: Path) -> list[str]:
    """Make a pipe, a socket and links, each with a name that says what it is."""
    os.mkfifo(folder / "pipe.jsonl")
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to("nowhere/at/all")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "up").symlink_to("..")
    (folder / "empty").mkdir()
    (folder / "void.jsonl").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    made = ["pipe", "pipe.jsonl", "dangling", "loop", "up", "empty", "void.jsonl", "socket"]
    return [*made, "loop/x", "pipe/x", "data.jsonl/x", "/", "/dev/full", "/proc/self/mem",
            "adapter", "model/config.json", ".", ".."]  # fmt: skip


def spec(rng: random.Random, _: Path) -> Argv:
    """Name a defense with strange keys and values, with or without the data it needs."""
    base = list(BASES[rng.choice(["tune", "lora", "align", "repair"])])
    name = rng.choice(_DEFENSES)
    for _key in range(rng.choice([0, 1, 1, 2])):
        pair = f"{rng.choice(_KEYS)}={rng.choice(WORDS)}"
        name += ("," if ":" in name else ":") + pair
    if rng.random() < 0.2:
        name = spoiled_text(rng, name)
    data = ["--harmful", "harmful.csv", "--benign", "data.jsonl", "--safe", "data.jsonl",
            "--alignment", "data.jsonl"] if rng.random() < 0.7 else []  # fmt: skip
    if base[0] == "repair":
        return [*base, "--method", name]
    return [*base, *data, "--defense", name]


def columns(rng: random.Random, _: Path) -> Argv:
    """Give strange columns, judges, splits and options of the trainer."""
    base = list(BASES[rng.choice(["tune", "evaluate", "analyze", "repair"])])
    text = rng.choice(["prompt=question", "prompt=question,completion=answer", "data.jsonl::a=b"])
    flag = rng.choice(
        ["--columns", "--harmful-columns", "--judge", "--split", "--set", "--lora-targets"]
    )
    if flag == "--set":
        text = f"{rng.choice(_TRAINER)}={rng.choice(WORDS)}"
    return [*base, flag, spoiled_text(rng, text) if rng.random() < 0.8 else text]


_TRAINER = (
    "bf16", "fp16", "optim", "lr_scheduler_type", "packing", "max_length", "eval_strategy",
    "save_strategy", "report_to", "logging_steps", "weight_decay", "adam_beta1", "loss_type",
    "dataset_kwargs", "gradient_checkpointing_kwargs", "accelerator_config", "deepspeed", "fsdp",
    "fsdp_config", "lr_scheduler_kwargs", "torch_compile", "use_cpu", "dataloader_num_workers",
    "label_smoothing_factor", "neftune_noise_alpha", "hub_token", "warmup_ratio", "max_grad_norm",
    "save_total_limit", "load_best_model_at_end", "metric_for_best_model", "group_by_length",
    "padding_free", "assistant_only_loss", "completion_only_loss", "eos_token", "pad_token",
    "activation_offloading", "use_liger_kernel", "tf32", "seed", "data_seed", "full_determinism",
    "auto_find_batch_size", "average_tokens_across_devices", "optim_args", "run_name", "debug",
)  # fmt: skip


def line(rng: random.Random, _: Path) -> Argv:
    """Spoil the line itself: words dropped, doubled, swapped, joined."""
    base = list(BASES[rng.choice(list(BASES))])
    for _word in range(rng.choice([1, 1, 2, 3])):
        base = _other(rng, base) or ["tune"]
    # The base's own limits must stay, or a good line that is only longer would train for long.
    return base if base[0] not in ("demo", "organism") else ["organism", "check", "nowhere"]


def _other(rng: random.Random, line: Argv) -> Argv:
    place, way = rng.randrange(len(line)), rng.randrange(4)
    if way == 0:
        return line[:place] + line[place + 1 :]
    if way == 1:
        return [*line, line[place]]
    if way == 2:
        return [*line[:place], rng.choice(WORDS), *line[place:]]
    return line[::-1] if rng.random() < 0.1 else line[: place + 1]


WORD_KINDS = {"option": option, "path": path, "spec": spec, "columns": columns, "line": line}
