"""A figure that knows what it is a mean over, so that several of them can be made one."""

from typing import Any, Self

__all__ = ["Mean"]


class Mean(float):
    """A mean or a ratio, and its weight: the mean of all rows is not that of two halves' means.

    It is a number like any other; ``weight`` is the count, or the denominator, that it is over.
    """

    weight: float

    def __new__(cls, value: float, weight: float = 1.0) -> Self:
        """Return the number with its weight, 0 or more."""
        made: Any = super().__new__(cls, value)
        made.weight = float(weight)
        return made
