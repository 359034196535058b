"""The metric of a repair: how much each weight is felt by rows that must stay as they are."""

from holdfast.defense import Examples, Run
from holdfast.ops.engine import Batch
from holdfast.ops.fisher import mean_squared_gradients
from holdfast.ops.gradients import Tensors
from holdfast.progress import ticking

__all__ = ["felt_by", "row_batches"]

SIZE = 16
"""Rows that share a pass where that is exact."""


def felt_by(run: Run, rows: Examples) -> Tensors:
    """Return F over the rows, a mean of the squares of each row's own gradient.

    Args:
        run: The run, its weights where F is wanted.
        rows: Examples of the task and of general use.
    """
    batches = row_batches(run, rows, SIZE)
    tick = ticking(run.progress, "rows that make the metric", len(batches))
    return mean_squared_gradients(run.engine, batches, tick)


def row_batches(run: Run, rows: Examples, size: int) -> list[Batch]:
    """Return the rows as batches in which each is a sequence of its own.

    A collator that joins rows (padding-free, or packing) would have the square of a sum of rows
    taken for the sum of their squares; it joins one row to none.

    Args:
        run: The run, for its collator.
        rows: Examples.
        size: Rows per batch where they can share one.
    """
    batches = run.batches(rows, size)
    apart = sum(len(batch["input_ids"]) for batch in batches) == len(rows)
    return batches if apart else run.batches(rows, 1)
