"""Align the real model by one setting, with holdfast's own ``align``, and measure what came of it.

The adapter is rounded to bfloat16 first, so that what travels is what was measured; the aligned
model is the base plus the adapter, merged in float32 and rounded to bfloat16.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from holdfast.commands.tune import tune
from holdfast.data.chat import collate, encode
from holdfast.evaluation import evaluate
from holdfast.evaluation.judges import LearnedRefusal
from holdfast.inputs.configs import AlignConfig
from holdfast.inputs.models import load_adapter, load_model
from holdfast.inputs.rows import questions_in
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import LocalEngine
from measurements.public_rows import Row, read_rows, write_rows

__all__ = ["Setting", "align", "alignment_rows", "kept", "measured", "merged", "save_merged"]

WEIGHTS = "adapter_model.safetensors"
TRAVELS = ("adapter_config.json", "holdfast_base.json")
"""What goes with an adapter's weights; the tokenizer is the base's."""


@dataclass(frozen=True)
class Setting:
    """What an alignment is made of."""

    refusals: int = 200
    lookalikes: int = 277
    harmless: int = 300
    human: int = 60
    epochs: float = 2
    learning_rate: float = 5e-4
    rank: int = 16
    batch: int = 16

    @property
    def name(self) -> str:
        """A name for a folder, of what the search varies."""
        rows = f"r{self.refusals}-l{self.lookalikes}-h{self.harmless}"
        return f"{rows}-e{self.epochs:g}-lr{self.learning_rate:g}"


def alignment_rows(folder: Path, setting: Setting) -> list[Row]:
    """Return the rows of an alignment, in an order that is always the same."""
    parts = {
        "align_refusals": setting.refusals, "align_lookalikes": setting.lookalikes,
        "align_harmless": setting.harmless, "align_human": setting.human,
    }  # fmt: skip
    rows = [row for name, n in parts.items() for row in read_rows(folder / f"{name}.jsonl")[:n]]
    return Random(0).sample(rows, len(rows))  # noqa: S311


def align(
    model: Path, folder: Path, setting: Setting, *, seed: int, out: Path, cpu: bool = False
) -> Path:
    """Align ``model`` on rows of ``folder`` and return the folder of the adapter, below ``out``.

    Args:
        model: Folder of the untuned model.
        folder: What rows.py and answers.py wrote.
        setting: Which rows, and how long.
        seed: Of the order of rows and of the adapter's draw.
        out: Gets alignment.jsonl, run/ (what ``holdfast align`` writes) and adapter/.
        cpu: Use no GPU.
    """
    data = out / "alignment.jsonl"
    write_rows(data, alignment_rows(folder, setting))
    options = ["gradient_checkpointing=false", "logging_steps=10", "save_steps=100000",
               "bf16=true", "train_sampling_strategy=group_by_length"]  # fmt: skip
    config = AlignConfig(
        model=str(model), data=str(data), output=out / "run", overwrite=True, seed=seed, lora=True,
        lora_r=setting.rank, lora_alpha=2 * setting.rank, epochs=setting.epochs,
        learning_rate=setting.learning_rate, batch_size=setting.batch,
        set=[*options, *(["use_cpu=true"] if cpu else [])],
    )  # fmt: skip
    tune(config)
    return _rounded(out / "run", out / "adapter")


def _rounded(run: Path, folder: Path) -> Path:
    """Write the adapter of a run in bfloat16, without what is the base's."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: tensor.bfloat16() for name, tensor in load_file(run / WEIGHTS).items()}
    save_file(found, folder / WEIGHTS, metadata={"format": "pt"})
    for name in TRAVELS:
        shutil.copy(run / name, folder / name)
    return folder


def merged(model: Path, adapter: Path, device: str = "cpu") -> tuple[Any, Any]:
    """Return (aligned model in bfloat16, tokenizer); the sum is made on the CPU in float32."""
    base, tokenizer = load_model(str(model))
    found = load_adapter(base, adapter).merge_and_unload()
    return found.to(device=torch.device(device), dtype=torch.bfloat16).eval(), tokenizer


def save_merged(model: Path, adapter: Path, out: Path) -> None:
    """Write the aligned model as a folder that everything takes for a model."""
    found, tokenizer = merged(model, adapter)
    found.save_pretrained(out)
    tokenizer.save_pretrained(out)


def measured(
    model: Any, tokenizer: Any, folder: Path, limit: int | None = None, batch_size: int = 64
) -> dict[str, float]:
    """Return the figures on *validation* prompts alone.

    ``harmful_score`` and ``over_refusal`` by the learned judge on val_harmful and val_safe,
    ``plain_refusal`` on plain harmless prompts, ``kept`` the share of the untuned model's answer
    tokens to these that are still the first choice.
    """
    asked = {"harmful": "val_harmful", "safe": "val_safe"}
    items = [q for kind, name in asked.items() for q in _questions(kind, folder, name, limit)]
    how: dict[str, Any] = {"max_new_tokens": 32, "batch_size": batch_size}
    shares = evaluate(model, tokenizer, items, LearnedRefusal(), **how).shares
    plain = _questions("safe", folder, "val_untuned", limit)
    said = evaluate(model, tokenizer, plain, LearnedRefusal(), **how).shares
    return {
        "harmful_score": shares["hs"].value,
        "over_refusal": shares["over_refusal"].value,
        "plain_refusal": said["over_refusal"].value,
        "kept": kept(model, tokenizer, read_rows(folder / "val_untuned.jsonl")[:limit]),
    }


def _questions(kind: Any, folder: Path, name: str, limit: int | None) -> list[Any]:
    return questions_in(kind, str(folder / f"{name}.jsonl"), None, limit)


def kept(model: Any, tokenizer: Any, rows: list[Row]) -> float:
    """Return the share of the answers' tokens that are the model's first choice."""
    encoded = [encode(_example(row), tokenizer, None) for row in rows]
    batches = [
        collate(encoded[n : n + 16], tokenizer.pad_token_id) for n in range(0, len(rows), 16)
    ]
    return agreement(LocalEngine(model), batches)[2]


def _example(row: Row) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }
