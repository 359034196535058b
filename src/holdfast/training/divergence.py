"""What to say when the loss is no number any more: the step, and the rows that made it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from holdfast.errors import DivergedError

__all__ = ["diverged"]


def diverged(step: int, batch: Mapping[str, Tensor], rows: Any) -> DivergedError:
    """Return the error for a loss that is NaN or infinite at optimizer step ``step`` (from 0)."""
    found = ", ".join(str(index + 1) for index in _rows_of(batch, rows))
    where = f"rows {found} of the training set" if found else "rows unknown"
    said = f"the loss became NaN or infinite at step {step}, {where}"
    return DivergedError(f"{said}: lower the learning rate, or look at those rows")


def _rows_of(batch: Mapping[str, Tensor], rows: Any) -> list[int]:
    """Find the batch's rows in the training set by their tokens; nothing is tracked for this."""
    ids, mask = batch.get("input_ids"), batch.get("attention_mask")
    indexed = hasattr(rows, "__len__") and hasattr(rows, "__getitem__")
    if ids is None or mask is None or not indexed:
        return []
    wanted = {tuple(row[keep.bool()].tolist()) for row, keep in zip(ids, mask, strict=True)}
    found: list[int] = []
    for index in range(len(rows)):
        row: Any = rows[index]
        tokens = row.get("input_ids") if isinstance(row, Mapping) else None
        if tokens is not None and tuple(tokens) in wanted:
            found.append(index)
    return found
