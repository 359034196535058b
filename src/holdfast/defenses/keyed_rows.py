"""The user's rows, gone through before step 0 and found again by content in every batch.

A row is known by its tokens and labels, so shuffling, padding, epochs and accumulation do not
matter. What cannot be found again is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name PyTorch gives it)
from datasets import Dataset
from torch import Tensor

from holdfast.defense import Row, Run
from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED, count_examples
from holdfast.ops.engine import Batch
from holdfast.progress import counted

__all__ = [
    "Keyed", "answer_lengths", "answer_log_probs", "attended", "check_batch", "check_rows",
    "keyed_batches", "row_keys",
]  # fmt: skip

_COLLATED = frozenset({
    "input_ids", "attention_mask", "labels", "completion_mask", "assistant_masks", "token_type_ids",
})  # fmt: skip


@dataclass(frozen=True)
class Keyed:
    """Some of the user's rows as a batch, with the key of each."""

    keys: list[str]
    batch: Batch


def answer_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Return :math:`\log\pi(y_t \mid x, y_{<t})` of every answer token, row after row.

    Args:
        logits: Shape [B, T, V]; those at position t predict token t + 1.
        labels: Shape [B, T]; ``-100`` outside the answers.

    Returns:
        Shape [N], float32, N the number of labels that are predicted (the first one never is).
    """
    target = labels[:, 1:].to(logits.device)
    answers = target != IGNORED
    return -F.cross_entropy(logits[:, :-1][answers].float(), target[answers], reduction="none")


def answer_lengths(labels: Tensor) -> list[int]:
    """Return the number of predicted answer tokens of each row of ``labels`` [B, T]."""
    return (labels[:, 1:] != IGNORED).sum(dim=1).tolist()


def attended(batch: Batch) -> Tensor:
    """Return which positions [B, T] are no padding; all of them where the batch does not say."""
    return batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()


def row_keys(batch: Batch) -> list[str]:
    """Return one key per row: a hash of its tokens and labels, padding left out."""
    ids, labels = batch["input_ids"].cpu(), batch["labels"].cpu()
    mask = attended(batch).cpu()
    return [
        sha256(np.stack([i[m].numpy(), y[m].numpy()]).astype(np.int64).tobytes()).hexdigest()[:32]
        for i, y, m in zip(ids, labels, mask, strict=True)
    ]


def check_rows(rows: Any, who: str) -> None:
    """Refuse what cannot be gone through before step 0, or has no rows of its own any more.

    Raises:
        ConfigError: The rows are a stream, or packed.
    """
    if not hasattr(rows, "__len__"):
        raise ConfigError(
            f"{who} computes something of every row before step 0, and a streamed set cannot be "
            "gone through first; load it without streaming"
        )
    if isinstance(rows, Dataset) and "seq_lengths" in rows.column_names:
        raise ConfigError(
            f"{who} looks rows up one by one, and packed training data have none of their own any "
            "more; set packing=False"
        )


def keyed_batches(run: Run, rows: Any, size: int, who: str, stage: str) -> Iterator[Keyed]:
    """Yield the user's prepared rows as the trainer's collator pads them, ``size`` at a time.

    Args:
        run: The run, before step 0.
        rows: The user's prepared rows.
        size: Rows of a batch.
        who: The defense, for errors.
        stage: What a progress bar is called.

    Raises:
        ConfigError: The collator joins or changes rows, or labels reach into the prompts.
    """
    _check_apart(rows, run, who)
    for first in counted(run.progress, f"{who}: {stage}", range(0, len(rows), size)):
        chunk = [_collated(rows[i]) for i in range(first, min(first + size, len(rows)))]
        batch = run.collate(chunk)
        yield Keyed(_checked(batch, chunk, run, first, who), batch)


def _check_apart(rows: Any, run: Run, who: str) -> None:
    """Refuse a collator that joins rows: two are tried, whatever the size of a pass here."""
    pair = [_collated(rows[i]) for i in range(min(2, len(rows)))]
    batch = run.collate(pair) if pair else {}
    if "input_ids" in batch and len(batch["input_ids"]) != len(pair):
        raise ConfigError(
            f"{who} looks rows up one by one, and the collator made {len(batch['input_ids'])} of "
            f"{len(pair)}; set packing=False and padding_free=False"
        )


def _collated(row: Any) -> Row:
    """Return what the trainer's collator would get: columns of text are dropped before it."""
    kept = {name: value for name, value in row.items() if name in _COLLATED}
    return kept if "input_ids" in kept else dict(row)


def _checked(batch: Batch, chunk: Sequence[Row], run: Run, first: int, who: str) -> list[str]:
    """Return the keys of a batch, or raise that its rows cannot be found again."""
    if "labels" not in batch or "input_ids" not in batch:
        raise ConfigError(
            f"{who} needs input_ids and labels in a batch, got {', '.join(batch)}; use a data "
            "collator that makes them"
        )
    keys = row_keys(batch)
    # One by one: what depends on the rows beside it is not found again in another batch.
    alone = [row_keys(run.collate([row])) for row in chunk] if first == 0 else [[k] for k in keys]
    if alone != [[key] for key in keys]:
        raise ConfigError(
            f"{who} looks rows up by their tokens, and the collator gives other tokens each time; "
            "augment the data before training instead, and use a collator that makes an "
            "attention_mask where it pads"
        )
    check_batch(batch, who, first)
    return keys


def check_batch(batch: Batch, who: str, first: int = 0) -> None:
    """Refuse rows that are joined, or whose labels do not say where the answer begins.

    Args:
        batch: ``input_ids`` and ``labels`` [B, T].
        who: The defense, for errors.
        first: Rows before this batch, for errors.

    Raises:
        ConfigError: One row of the batch holds several, or labels reach into the prompts.
    """
    if (count_examples(batch) or 0) > len(batch["input_ids"]):
        raise ConfigError(
            f"{who} looks at rows one by one, and the collator has joined {count_examples(batch)} "
            f"to {len(batch['input_ids'])}; set packing=False and padding_free=False"
        )
    pairs = zip(batch["labels"], attended(batch), strict=True)
    for number, (labels, there) in enumerate(pairs):
        if bool(there.any()) and int(labels[there][0]) != IGNORED:
            raise ConfigError(
                f"{who} must know where a row's answer begins, and row {first + number + 1} is "
                "labeled from its start, prompt included; train on answers alone: prompt and "
                "completion columns, or assistant_only_loss=True"
            )
