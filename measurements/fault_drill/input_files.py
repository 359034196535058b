"""Bad inputs in files: rows, options, templates, models, adapters, results, recipes, modules."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from measurements.fault_drill.input_words import BASES, Argv
from measurements.fault_drill.spoil import spoiled_bytes, spoiled_json, spoiled_text, strange

__all__ = ["FILE_KINDS"]

TEMPLATES = (
    "", "x", "{{", "{% for m in messages %}", "{{ 1 / 0 }}", "{{ messages[99].content }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{{ raise_exception('no') }}", "{{ undefined_ }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'x' * 10**9 }}", "{{ messages }}",
    "{{ ''.__class__.__mro__ }}", "{% include 'other' %}", "{% set x = cycler %}{{ x }}", "\ud800",
    "{{ strftime_now('%Y') }} {{ messages[0].content }}", "{{ 10**10**8 }}", "\x1b[31m",
    "{% for m in messages %}{{ m.content }}{% endfor %}", "<s>" * 500, "{{ (1,2)|list|random }}",
)  # fmt: skip
YAML = (
    "", "- 1", "x", "1", "null", "a: [", "a: &a [*a]", "!!python/object/apply:os.getcwd []",
    "a: !x 1", "? a", "\tb: 1", "a: 1\na: 2", "weight_decay: x", "weight_decay: [0.1]",
    "seed: 1.5", "seed: true", "max_steps: 1e9x", "bf16: true", "fp16: true", "%", "\0", "a: \x85",
    "lr_scheduler_kwargs: [1]", "gradient_checkpointing_kwargs: x", "dataset_kwargs: 3",
    "accelerator_config: {a: 1}", "optim: [a]", "optim: bnb", "report_to: wandb", "deepspeed: x",
    "fsdp_config: [1]", "lr_scheduler_type: 3", "warmup_steps: .nan", "learning_rate: .inf",
    "model_init_kwargs: {a: b}", "hub_token: hf_x", "use_liger_kernel: true", "max_length: 1",
    "packing: true", "2024-01-01: x", "a: 2024-13-45", "{" * 200, "eval_strategy: steps",
    "dataloader_num_workers: -1", "torch_compile: x", "padding_free: true", "loss_type: dft",
)  # fmt: skip
_BOMB = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}, *{p}, *{p}]\n" for p, c in
                                   zip("abcdefgh", "bcdefghi", strict=True))  # fmt: skip


def rows(rng: random.Random, folder: Path) -> Argv:
    """Spoil the rows of a data file, as its bytes or as its values."""
    role = rng.choice(["data", "harmful"])
    kind = rng.choice(["jsonl", "jsonl", "csv", "parquet", "json"])
    file = folder / f"{role}.{kind}"
    table = [json.loads(line) for line in (folder / f"{role}.jsonl").read_text().splitlines()]
    if kind == "parquet" and rng.random() < 0.6:
        _odd_parquet(rng, table, file)
    elif kind in ("csv", "parquet"):
        file.write_bytes(spoiled_bytes(rng, file.read_bytes()))
    elif kind == "json":
        file.write_text(spoiled_json(rng, table), "utf-8", "surrogatepass")
    else:
        _lines(rng, table, file)
    base = BASES[rng.choice(["tune", "repair", "evaluate", "vector", "analyze"])]
    old = {"data": ("data.jsonl", "benign24.jsonl"), "harmful": ("harmful.csv", "harmful24.jsonl")}
    return [file.name if word in old[role] else word for word in base]


def _lines(rng: random.Random, table: list[Any], file: Path) -> None:
    place = rng.randrange(len(table))
    lines = [json.dumps(row) for row in table]
    if rng.random() < 0.3:
        said = {"role": rng.choice(["user", "assistant", "system", "tool", "x", 1]), "content": "a"}
        table[place] = {"messages": [said, {"role": "assistant", "content": strange(rng)}]}
    lines[place] = spoiled_json(rng, table[place])
    text = "\n".join(lines)
    text = spoiled_text(rng, text) if rng.random() < 0.2 else text
    content = text.encode("utf-8", "surrogatepass")
    file.write_bytes(spoiled_bytes(rng, content) if rng.random() < 0.1 else content)


def _odd_parquet(rng: random.Random, table: list[Any], file: Path) -> None:
    column = rng.choice(list(table[0]))
    odd: list[Any] = [
        pa.array([b"\xff\xfe"] * len(table)), pa.array([None] * len(table)),
        pa.array(range(len(table))), pa.array([["a"]] * len(table)), pa.array([{"a": 1}] * 8),
        pa.array([1.5] * len(table)), pa.array(["x"] * 8).dictionary_encode(),
        pa.array([b"\xff"] * 8, pa.binary()).view(pa.utf8()),
        pa.array([10**18] * 8, "timestamp[ns]"),
    ]  # fmt: skip
    good = pa.Table.from_pylist(table)
    place = good.column_names.index(column)
    pq.write_table(good.set_column(place, rng.choice([column, column, "", "x"]), rng.choice(odd)),
                   file)  # fmt: skip


def options(rng: random.Random, folder: Path) -> Argv:
    """Spoil the YAML file of the trainer's options."""
    file = folder / "options.yaml"
    text = rng.choice([*YAML, _BOMB]) if rng.random() < 0.7 else spoiled_text(rng, file.read_text())
    content = text.encode("utf-8", "surrogatepass")
    file.write_bytes(spoiled_bytes(rng, content) if rng.random() < 0.1 else content)
    return [*BASES["tune"], "--config", "options.yaml"]


def template(rng: random.Random, folder: Path) -> Argv:
    """Give a strange chat template, as a file or in the tokenizer's own."""
    file = folder / "template.jinja"
    text = rng.choice(TEMPLATES) if rng.random() < 0.7 else spoiled_text(rng, file.read_text())
    base = BASES[rng.choice(["tune", "evaluate"])]
    if rng.random() < 0.3:
        own = folder / "model" / "chat_template.jinja"
        own.write_text(text, "utf-8", "surrogatepass")
        return base
    file.write_text(text, "utf-8", "surrogatepass")
    return [*base, "--chat-template", "template.jinja"]


def model(rng: random.Random, folder: Path) -> Argv:
    """Spoil a file of the model's folder, or put one there that does not belong."""
    if rng.random() < 0.15:
        strangers = ["pytorch_model.bin", "adapter_config.json", "model.safetensors.index.json",
                     "pytorch_model.bin.index.json", "modeling_x.py", "added_tokens.json",
                     "special_tokens_map.json", "tokenizer.model", "vocab.json"]  # fmt: skip
        document = strange(rng) if rng.random() < 0.5 else {"weight_map": {"a": "../../b"}}
        _write(folder / "model" / rng.choice(strangers), json.dumps(document))
    else:
        _spoil(rng, rng.choice(_files(folder / "model")))
    return BASES[rng.choice(["tune", "lora", "evaluate", "evaluate", "repair", "analyze"])]


def adapter(rng: random.Random, folder: Path) -> Argv:
    """Spoil a file of the adapter's folder, its options above all."""
    config = folder / "adapter" / "adapter_config.json"
    file = config if rng.random() < 0.7 else rng.choice(_files(folder / "adapter"))
    if file == config and rng.random() < 0.3:
        odd = {"peft_type": ["SHADOW", "XLORA", "IA3", "x", None], "r": [0, -1, "x", [], 1e9],
               "target_modules": ["(a+)+$", "", [], ".*", None, "(" * 50], "bias": ["all", 1],
               "rank_pattern": [{"(x+x+)+y": 3}, [], "x"], "use_dora": [True, "x"],
               "base_model_name_or_path": ["owner/name", None, 1, "../../x"]}  # fmt: skip
        key = rng.choice(list(odd))
        _write(file, json.dumps({**json.loads(file.read_text()), key: rng.choice(odd[key])}))
    else:
        _spoil(rng, file)
    evaluated = [*BASES["evaluate"], "--adapter", "adapter"]
    against = [*BASES["analyze"], "--against", "adapter"]
    return rng.choice([evaluated, BASES["adapter"], evaluated, against])


def result(rng: random.Random, folder: Path) -> Argv:
    """Spoil a result that is compared or judged."""
    if rng.random() < 0.3:
        _spoil(rng, folder / "bench.json")
        return BASES["claims"]
    _spoil(rng, folder / rng.choice(["first", "second"]) / "result.json")
    return BASES["compare"]


def recipe(rng: random.Random, folder: Path) -> Argv:
    """Spoil a recipe; only what it would run is printed."""
    file = folder / "recipe.yaml"
    keys = ["p", "seeds", "defenses", "base", "scenario", "epochs", "learning_rate", "lora",
            "model", "organism", "budget", "items_per_kind", "x", "name", "user_rows"]  # fmt: skip
    if rng.random() < 0.7:
        document = {**yaml.safe_load(file.read_text()), rng.choice(keys): strange(rng)}
        text = json.dumps(document) if rng.random() < 0.3 else yaml.safe_dump(document)
    else:
        text = spoiled_text(rng, file.read_text())
    _write(file, text)
    return BASES["bench"]


def modules(rng: random.Random, folder: Path) -> Argv:
    """Spoil the file of robust modules, or what a defense reads as another model."""
    if rng.random() < 0.6:
        _spoil(rng, folder / "modules.json")
        return [
            *BASES["tune"],
            "--defense",
            rng.choice(["ml_lr", "swat"]) + ":modules=modules.json",
        ]
    _spoil(rng, rng.choice(_files(folder / "other")))
    spec = rng.choice(["resta:aligned=other", "safe_lora:base=other"])
    return [*BASES["lora"], "--harmful", "harmful.csv", "--defense", spec]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix != ".md")


def _spoil(rng: random.Random, file: Path) -> None:
    if file.suffix == ".json" and rng.random() < 0.85:
        _write(file, spoiled_json(rng, json.loads(file.read_text())))
    elif rng.random() < 0.1:
        file.unlink()
    else:
        file.write_bytes(spoiled_bytes(rng, file.read_bytes()))


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogatepass")


FILE_KINDS: dict[str, Callable[[random.Random, Path], Argv]] = {
    "rows": rows, "options": options, "template": template, "model": model, "adapter": adapter,
    "result": result, "recipe": recipe, "modules": modules,
}  # fmt: skip
