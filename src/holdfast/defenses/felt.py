"""The metric of a repair: how much each weight is felt by rows that must stay as they are."""

from holdfast.defense import Examples, Run
from holdfast.ops.fisher import mean_squared_gradients
from holdfast.ops.gradients import Tensors

__all__ = ["felt_by"]

SIZE = 16
"""Rows that share a pass where that is exact."""


def felt_by(run: Run, rows: Examples) -> Tensors:
    """Return F over the rows, a mean of the squares of each row's own gradient.

    Args:
        run: The run, its weights where F is wanted.
        rows: Examples of the task and of general use.
    """
    batches = run.batches(rows, SIZE)
    if sum(len(batch["input_ids"]) for batch in batches) != len(rows):
        batches = run.batches(rows, 1)  # A collator that joins rows joins one to none.
    return mean_squared_gradients(run.engine, batches)
