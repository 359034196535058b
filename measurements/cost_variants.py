"""What the cost of defenses is measured on: a model, rows, and the variants that take turns."""

import copy
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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

BATCH = 4
Row = dict[str, list[int]]


class Kind(NamedTuple):
    """What is trained, and in which precision."""

    lora: bool
    bf16: bool

    def __str__(self) -> str:
        return f"{'lora' if self.lora else 'full'} {'bfloat16' if self.bf16 else 'float32'}"


class Size(NamedTuple):
    """Model and rows."""

    model: Path | None
    tokens: int
    rows: int


class Clock(TrainerCallback):
    """Notes when the optimizer has stepped, by the clock and in seconds of the processor.

    A callback at each step would not do: it is shown the model without its vector, which costs.
    """

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def on_train_begin(self, *_: Any, optimizer: Any, **__: Any) -> None:
        """Watch the optimizer."""
        inner = getattr(optimizer, "optimizer", optimizer)
        inner.register_step_post_hook(lambda *_: self.mark())

    def mark(self) -> None:
        """Note both times."""
        self.marks.append((time.perf_counter(), time.process_time()))

    def means(self) -> tuple[float, float]:
        """Return the mean step but the first, which warms up: (clock, processor).

        A mean and no median: with every=4, one step in four is long.
        """
        (clock, used), (last, most), steps = self.marks[0], self.marks[-1], len(self.marks) - 1
        return (last - clock) / steps, (most - used) / steps


def rows(size: Size, seed: int) -> list[Row]:
    """Return random rows of equal length; half of each is the answer."""
    rng = torch.Generator().manual_seed(seed)
    most = bare_model(size.model, bf16=False).config.vocab_size
    ids = torch.randint(0, most, (size.rows, size.tokens), generator=rng).tolist()
    half = size.tokens // 2
    return [{"input_ids": i, "labels": [-100] * half + i[half:]} for i in ids]


def vector(harmful: list[Row], benign: list[Row]) -> Defense:
    """Return a vector of one epoch; its gates are open, since the rows are random."""
    return SecurityVectors(
        harmful=harmful, benign=benign, epochs=1, batch_size=BATCH,
        max_harmful_nll=1e9, max_benign_kl=1e9,
    )  # fmt: skip


def panacea(harmful: list[Row], **options: Any) -> Defense:
    """Return a small step."""
    return Panacea(harmful=harmful, rho=0.1, batch_size=BATCH, **options)


def variants(size: Size) -> dict[str, Callable[[], list[Defense]]]:
    """Return what takes turns."""
    harmful, benign = rows(size, 1), rows(size, 2)
    return {
        "plain": list,
        "security_vectors": lambda: [vector(harmful, benign)],
        "panacea post-hoc": lambda: [panacea(harmful)],
        "panacea in-loop every=1": lambda: [panacea(harmful, mode="in-loop", every=1)],
        "panacea in-loop every=4": lambda: [panacea(harmful, mode="in-loop", every=4)],
    }


@cache
def bare_model(folder: Path | None, *, bf16: bool) -> Any:
    """Return the folder's model, or the 25 M Llama; runs take copies of it."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    if folder is not None:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=10_000, hidden_size=512, intermediate_size=1536,
        num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8,
        max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


def model(size: Size, kind: Kind) -> Any:
    """Return a copy of the model, with a LoRA adapter of rank 8 if asked.

    All weights are trained in float32, under autocast in bfloat16; a LoRA's base is in it.
    """
    bare = copy.deepcopy(bare_model(size.model, bf16=kind.lora and kind.bf16))
    adapter = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(bare, adapter) if kind.lora else bare


def run(size: Size, kind: Kind, defenses: list[Defense], steps: int) -> tuple[Clock, SecureTrainer]:
    """Tune for some steps; return what the clock saw, and the trainer."""
    clock = Clock()
    trainer = SecureTrainer(
        model=model(size, kind),
        args=TrainingArguments(
            output_dir="unused", max_steps=steps, per_device_train_batch_size=BATCH,
            learning_rate=1e-4, save_strategy="no", report_to="none", use_cpu=True,
            bf16=kind.bf16, disable_tqdm=True, logging_strategy="no",
        ),
        train_dataset=rows(size, 0),
        data_collator=lambda batch: collate(batch, 0),
        callbacks=[clock],
        defenses=defenses,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # Only the JSON belongs on stdout.
    trainer.train()
    return clock, trainer
