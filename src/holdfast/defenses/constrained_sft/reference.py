"""Log-probabilities of the user's answers under the initial model, found again by content."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.defense import Run
from holdfast.defenses.keyed_rows import answer_lengths, answer_log_probs, keyed_batches

__all__ = ["looked_up", "reference_of"]


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
    for own in keyed_batches(run, rows, size, "constrained_sft", "reference"):
        batch = own.batch
        with torch.no_grad():
            outputs = run.engine.forward({k: v for k, v in batch.items() if k != "labels"})
        counts = answer_lengths(batch["labels"])
        parts = answer_log_probs(outputs.logits, batch["labels"]).cpu().split(counts)
        for key, count, part in zip(own.keys, counts, parts, strict=True):
            if key not in lengths:  # A row that occurs twice has one reference.
                lengths[key] = count
                found.append(part)
    flat = torch.cat(found) if found else torch.zeros(0)
    return {"keys": list(lengths), "lengths": list(lengths.values()), "log_probs": flat}


def looked_up(table: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return each row's reference [answer tokens] by its key."""
    parts = table["log_probs"].split(list(table["lengths"]))
    return dict(zip(table["keys"], parts, strict=True))
