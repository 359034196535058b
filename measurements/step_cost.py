"""Cost of each defense against plain fine-tuning: time per step and peak memory, as JSON.

A Llama of about 25 M parameters is tuned with all its weights, and with LoRA. Variants take turns
in one process, a few steps each, round after round, so that a slow minute of the machine hits all
of them; the figure is the ratio of medians over turns. Peak memory is of one fresh process per
variant.
"""

import argparse
import json
import statistics
import subprocess
import sys
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
    TrainerCallback,
    TrainingArguments,
)

from holdfast import Defense, Panacea, SecureTrainer, SecurityVectors
from holdfast.data.chat import collate
from holdfast.results.provenance import peak_memory_gib, this_machine, versions

VOCABULARY, ROWS, BATCH, TOKENS, RUN_STEPS = 10_000, 32, 4, 64, 200
Row = dict[str, list[int]]
Make = Callable[[], list[Defense]]


def rows(seed: int, count: int = ROWS) -> list[Row]:
    """Return random rows of equal length; half of each is the answer."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (count, TOKENS), generator=rng).tolist()
    return [{"input_ids": i, "labels": [-100] * (TOKENS // 2) + i[TOKENS // 2 :]} for i in ids]


def _vector() -> Defense:
    return SecurityVectors(
        harmful=rows(1), benign=rows(2), epochs=1, batch_size=BATCH,
        max_harmful_nll=1e9, max_benign_kl=1e9,
    )  # fmt: skip


def _panacea(**options: Any) -> Defense:
    return Panacea(harmful=rows(1), rho=0.1, batch_size=BATCH, **options)


VARIANTS: dict[str, Make] = {
    "plain": list,
    "security_vectors": lambda: [_vector()],
    "panacea post-hoc": lambda: [_panacea()],
    "panacea in-loop every=1": lambda: [_panacea(mode="in-loop", every=1)],
    "panacea in-loop every=4": lambda: [_panacea(mode="in-loop", every=4)],
}


class Clock(TrainerCallback):
    """Notes when each optimizer step ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Note the start of the first step."""
        if not self.times:
            self.times.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the end of a step."""
        self.times.append(time.perf_counter())


def model(*, lora: bool) -> Any:
    """Return the 25 M Llama, with a LoRA adapter of rank 8 if asked."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=VOCABULARY, hidden_size=512, intermediate_size=1536,
        num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8,
        max_position_embeddings=TOKENS, tie_word_embeddings=True,
    )  # fmt: skip
    bare = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    adapter = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(bare, adapter) if lora else bare


def run(variant: str, steps: int, *, lora: bool) -> tuple[list[float], SecureTrainer]:
    """Tune for some steps; return the seconds of each but the first, which warms up."""
    clock = Clock()
    trainer = SecureTrainer(
        model=model(lora=lora),
        args=TrainingArguments(
            output_dir="unused", max_steps=steps, per_device_train_batch_size=BATCH,
            learning_rate=1e-4, save_strategy="no", report_to="none", use_cpu=True,
            disable_tqdm=True, logging_strategy="no",
        ),
        train_dataset=rows(0),
        data_collator=lambda batch: collate(batch, 0),
        callbacks=[clock],
        defenses=VARIANTS[variant](),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # Only the JSON belongs on stdout.
    trainer.train()
    pairs = zip(clock.times[1:], clock.times[2:], strict=False)
    return [end - start for start, end in pairs], trainer


def outside_steps(trainer: SecureTrainer) -> float:
    """Return the seconds of the hooks that run once, before or after the steps."""
    once = {"data", "before", "attached", "after"}
    return sum(float(r["seconds"]) for r in trainer.trace.rows() if r["hook"] in once)


def measure(rounds: int, steps: int, *, lora: bool) -> dict[str, Any]:
    """Return each variant's mean step (median of turns) and its cost in a run of 200 steps."""
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    once: dict[str, list[float]] = {name: [] for name in VARIANTS}
    trainable = 0
    for _ in range(rounds):
        for name in VARIANTS:
            times, trainer = run(name, steps, lora=lora)
            # The mean of a turn: with every=4, one step in four is long.
            seconds[name].append(statistics.fmean(times))
            once[name].append(outside_steps(trainer))
            trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    plain = statistics.median(seconds["plain"])
    table = {
        name: {
            "step_seconds": round(statistics.median(times), 4),
            "step_ratio": round(statistics.median(times) / plain, 3),
            "once_seconds": round(statistics.median(once[name]), 3),
            f"ratio_of_{RUN_STEPS}_steps": round(
                statistics.median(times) / plain
                + statistics.median(once[name]) / (RUN_STEPS * plain), 3),
        }
        for name, times in seconds.items()
    }  # fmt: skip
    return {"trainable_parameters": trainable, "variants": table}


def memory(*, lora: bool) -> dict[str, Any]:
    """Return each variant's peak memory in a fresh process, in GiB and over plain in tensors."""
    peaks: dict[str, float] = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, "--peak", name, *(["--lora"] if lora else [])]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        peaks[name] = float(done.stdout.strip().splitlines()[-1])
    size = 4 * sum(p.numel() for p in model(lora=lora).parameters() if p.requires_grad) / 2**30
    extra = {n: round((p - peaks["plain"]) / size, 2) for n, p in peaks.items()}
    return {"peak_gib": {n: round(p, 3) for n, p in peaks.items()}, "extra_in_trainable": extra}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each variant")
    parser.add_argument("--steps", type=int, default=5, help="steps of each turn, 4 k + 1")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--peak", choices=VARIANTS, help="print one variant's peak memory, GiB")
    parser.add_argument("--lora", action="store_true", help="with --peak: a LoRA user")
    given = parser.parse_args()
    if given.peak:
        run(given.peak, 5, lora=given.lora)
        print(peak_memory_gib())
        return
    result: dict[str, Any] = {
        "benchmark": "step_cost",
        "setting": {"batch": BATCH, "tokens": TOKENS, "rounds": given.rounds, "steps": given.steps},
    }
    for kind, lora in (("full", False), ("lora", True)):
        result[kind] = {**measure(given.rounds, given.steps, lora=lora), **memory(lora=lora)}
    result |= {"machine": this_machine().model_dump(), "versions": versions()}
    text = json.dumps(result, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
