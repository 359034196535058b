"""Log-probabilities of the user's answers under the initial model, found again by content.

A row is known by its tokens and labels, so shuffling, padding, epochs and accumulation do not
matter.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name PyTorch gives it)
from datasets import Dataset
from torch import Tensor

from holdfast.defense import Row, Run
from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch
from holdfast.progress import counted

_COLLATED = frozenset({
    "input_ids", "attention_mask", "labels", "completion_mask", "assistant_masks", "token_type_ids",
})  # fmt: skip


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


def row_keys(batch: Batch) -> list[str]:
    """Return one key per row: a hash of its tokens and labels, padding left out."""
    ids, labels = batch["input_ids"].cpu(), batch["labels"].cpu()
    mask = _attended(batch).cpu()
    return [
        sha256(np.stack([i[m].numpy(), y[m].numpy()]).astype(np.int64).tobytes()).hexdigest()[:32]
        for i, y, m in zip(ids, labels, mask, strict=True)
    ]


def answer_lengths(labels: Tensor) -> list[int]:
    """Return the number of predicted answer tokens of each row of ``labels`` [B, T]."""
    return (labels[:, 1:] != IGNORED).sum(dim=1).tolist()


def check_rows(rows: Any) -> None:
    """Refuse what cannot be gone through before step 0, or has no rows of its own any more."""
    if not hasattr(rows, "__len__"):
        raise ConfigError(
            "constrained_sft computes a reference for every row before step 0, and a streamed set "
            "cannot be gone through first; load it without streaming"
        )
    if isinstance(rows, Dataset) and "seq_lengths" in rows.column_names:
        raise ConfigError(
            "constrained_sft looks rows up one by one, and packed training data have none of their "
            "own any more; set packing=False"
        )


def reference_of(run: Run, rows: Any, size: int) -> dict[str, Any]:
    """Return the table of the run's model as it is now: keys, lengths and flat log-probabilities.

    Args:
        run: The run, before step 0.
        rows: The user's prepared rows.
        size: Rows per forward pass.

    Raises:
        ConfigError: The collator joins or changes rows, or labels reach into the prompts.
    """
    lengths: dict[str, int] = {}
    found: list[Tensor] = []
    _check_rows_apart(rows, run)
    starts = range(0, len(rows), size)
    for first in counted(run.progress, "constrained_sft: reference", starts):
        chunk = [_collated(rows[i]) for i in range(first, min(first + size, len(rows)))]
        batch = run.collate(chunk)
        keys = _checked(batch, chunk, run, first)
        with torch.no_grad():
            outputs = run.engine.forward({k: v for k, v in batch.items() if k != "labels"})
        counts = answer_lengths(batch["labels"])
        parts = answer_log_probs(outputs.logits, batch["labels"]).cpu().split(counts)
        for key, count, part in zip(keys, counts, parts, strict=True):
            if key not in lengths:  # A row that occurs twice has one reference.
                lengths[key] = count
                found.append(part)
    flat = torch.cat(found) if found else torch.zeros(0)
    return {"keys": list(lengths), "lengths": list(lengths.values()), "log_probs": flat}


def _check_rows_apart(rows: Any, run: Run) -> None:
    """Refuse a collator that joins rows: two are tried, whatever the size of a pass here."""
    pair = [_collated(rows[i]) for i in range(min(2, len(rows)))]
    batch = run.collate(pair) if pair else {}
    if "input_ids" in batch and len(batch["input_ids"]) != len(pair):
        raise ConfigError(
            f"constrained_sft looks rows up one by one, and the collator made "
            f"{len(batch['input_ids'])} of {len(pair)}; set packing=False and padding_free=False"
        )


def looked_up(table: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return each row's reference [answer tokens] by its key."""
    parts = table["log_probs"].split(list(table["lengths"]))
    return dict(zip(table["keys"], parts, strict=True))


def _collated(row: Any) -> Row:
    """Return what the trainer's collator would get: columns of text are dropped before it."""
    kept = {name: value for name, value in row.items() if name in _COLLATED}
    return kept if "input_ids" in kept else dict(row)


def _checked(batch: Batch, chunk: Sequence[Row], run: Run, first: int) -> list[str]:
    """Return the keys of a reference batch, or raise that its rows cannot be found again."""
    if "labels" not in batch or "input_ids" not in batch:
        raise ConfigError(
            f"constrained_sft needs input_ids and labels in a batch, got {', '.join(batch)}; use a "
            "data collator that makes them"
        )
    keys = row_keys(batch)
    if first == 0 and row_keys(run.collate(list(chunk))) != keys:
        raise ConfigError(
            "constrained_sft looks rows up by their tokens, and the collator gives other tokens "
            "each time; augment the data before training instead"
        )
    _check_prompts(batch, first)
    return keys


def _attended(batch: Batch) -> Tensor:
    """Return which positions [B, T] are no padding; all of them where the batch does not say."""
    return batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()


def _check_prompts(batch: Batch, first: int) -> None:
    """Positions count from the answer's first token, so the labels must say where that is."""
    pairs = zip(batch["labels"], _attended(batch), strict=True)
    for number, (labels, attended) in enumerate(pairs):
        if bool(attended.any()) and int(labels[attended][0]) != IGNORED:
            raise ConfigError(
                f"constrained_sft counts positions from an answer's first token, and row "
                f"{first + number + 1} is labeled from its start, prompt included; train on "
                "answers alone: prompt and completion columns, or assistant_only_loss=True"
            )
