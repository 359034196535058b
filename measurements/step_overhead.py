"""What holdfast adds to one training step, in microseconds of the processor, as JSON.

A Llama of two layers and width 32 is so small that its own arithmetic hides nothing. Plain
``Trainer`` and each list of defenses take turns, round after round in one process; figures are
medians over rounds of the difference to plain in the same round. A profile of its own says which
functions of holdfast the time goes to, own time without what they call outside holdfast.
"""

import argparse
import cProfile
import json
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from holdfast import MLLR, SWAT, Defense, Panacea, SecureTrainer, SecurityVectors
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.data.chat import collate
from holdfast.results.provenance import this_machine, versions

WIDTH, LAYERS, WORDS, TOKENS, BATCH = 32, 2, 64, 16, 2
ROLES = ("q", "k", "v", "o", "gate", "up", "down")
Rows = list[dict[str, list[int]]]


class Clock(TrainerCallback):
    """Notes the processor's time after each optimizer step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_train_begin(self, *_: Any, optimizer: Any, **__: Any) -> None:
        """Watch the optimizer."""
        inner = getattr(optimizer, "optimizer", optimizer)
        inner.register_step_post_hook(lambda *_: self.marks.append(time.process_time()))

    @property
    def micros(self) -> float:
        """The median step in microseconds, without the first ones, which warm up."""
        steps = [b - a for a, b in zip(self.marks[3:], self.marks[4:], strict=False)]
        return 1e6 * statistics.median(steps)


def rows(seed: int, count: int = 16) -> Rows:
    """Return random rows of equal length; half of each is the answer."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, WORDS, (count, TOKENS), generator=rng).tolist()
    half = TOKENS // 2
    return [{"input_ids": i, "labels": [-100] * half + i[half:]} for i in ids]


def model(*, lora: bool) -> Any:
    """Return the tiny model, with an adapter if asked."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=TOKENS,
    )  # fmt: skip
    bare = AutoModelForCausalLM.from_config(config)
    adapter = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(bare, adapter) if lora else bare


def variants(folder: Path) -> dict[str, Callable[[], list[Defense] | None]]:
    """Return what takes turns; None is the plain trainer."""
    top = [ModuleAt(layer=LAYERS - 1, role=role) for role in ROLES]
    found = RobustModules(layers=LAYERS, roles=list(ROLES), modules=top)
    modules = found.save(folder / "robust_modules.json")
    harmful, benign = rows(1), rows(2)

    def vector() -> Defense:
        return SecurityVectors(
            harmful=harmful, benign=benign, epochs=1, batch_size=BATCH,
            max_harmful_nll=1e9, max_benign_kl=1e9,
        )  # fmt: skip

    return {
        "plain": lambda: None,
        "no defense": list,
        "security_vectors": lambda: [vector()],
        "ml_lr": lambda: [MLLR(modules=modules)],
        "swat": lambda: [SWAT(modules=modules, warmup=1.0)],
        "swat moments=fresh": lambda: [SWAT(modules=modules, warmup=1.0, moments="fresh")],
        "panacea post-hoc": lambda: [Panacea(harmful=harmful, rho=0.1, batch_size=BATCH)],
    }


def run(defenses: list[Defense] | None, steps: int, *, lora: bool, folder: Path) -> Clock:
    """Tune for some steps and return what the clock saw."""
    clock = Clock()
    given: dict[str, Any] = {
        "model": model(lora=lora),
        "args": TrainingArguments(
            output_dir=str(folder / "unused"), max_steps=steps, per_device_train_batch_size=BATCH,
            learning_rate=1e-4, save_strategy="no", report_to="none", use_cpu=True,
            disable_tqdm=True, logging_strategy="no",
        ),
        "train_dataset": rows(0),
        "data_collator": lambda batch: collate(batch, 0),
        "callbacks": [clock],
    }  # fmt: skip
    plain = defenses is None
    trainer = Trainer(**given) if plain else SecureTrainer(**given, defenses=defenses)
    trainer.remove_callback(PrinterCallback)  # Only the JSON belongs on stdout.
    trainer.train()
    return clock


def profile(defenses: list[Defense], steps: int, *, lora: bool, folder: Path) -> dict[str, float]:
    """Return the functions of holdfast that take most of a step, in microseconds of own time.

    The profiler makes each call dearer: the figures say where time goes, not how much of it.
    """
    found = cProfile.Profile(time.process_time)
    found.enable()
    run(defenses, steps, lora=lora, folder=folder)
    found.disable()
    stats: dict[Any, Any] = vars(pstats.Stats(found))["stats"]
    own = {
        f"{Path(file).stem}.{name}": 1e6 * spent / steps
        for (file, _, name), (_, calls, spent, *_) in stats.items()
        if ("/holdfast/" in file or file.endswith("inspect.py")) and calls >= steps
    }
    return {n: round(t, 1) for n, t in sorted(own.items(), key=lambda item: -item[1])[:12]}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each variant")
    parser.add_argument("--steps", type=int, default=60, help="steps of each turn")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "benchmark": "step_overhead",
        "setting": {
            "model": f"llama of {LAYERS} layers, width {WIDTH}", "batch": BATCH, "tokens": TOKENS,
            "steps": given.steps, "rounds": given.rounds, "threads": 1,
        },
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        folder, every = Path(work), variants(Path(work))
        for lora in (False, True):
            result["lora" if lora else "full"] = _told(every, given, lora=lora, folder=folder)
    result |= {"machine": this_machine().model_dump(), "versions": versions()}
    text = json.dumps(result, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


def _told(every: dict[str, Any], given: Any, *, lora: bool, folder: Path) -> dict[str, Any]:
    took: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(given.rounds):
        for name, make in every.items():
            took[name].append(run(make(), given.steps, lora=lora, folder=folder).micros)
    added = {
        name: statistics.median(a - b for a, b in zip(mine, took["plain"], strict=True))
        for name, mine in took.items()
    }
    return {
        "plain_step_micros": round(statistics.median(took["plain"])),
        "added_micros": {name: round(value) for name, value in added.items() if name != "plain"},
        "where": {
            name: profile(make(), given.steps, lora=lora, folder=folder)
            for name, make in every.items()
            if name != "plain"
        },
    }


if __name__ == "__main__":
    main()
