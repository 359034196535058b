"""Lengths of rows: a few percentiles, and how many rows are how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

__all__ = ["Lengths"]

SHARES = {"shortest": 0.0, "half": 0.5, "90 %": 0.9, "99 %": 0.99, "longest": 1.0}
"""What is told, and the share of rows that are at most so long."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of some rows, in one unit.

    Attributes:
        values: At least one, in order.
    """

    values: tuple[int, ...]

    @classmethod
    def of(cls, values: Sequence[int]) -> "Lengths":
        """Return the lengths in order."""
        return cls(tuple(sorted(values)))

    def told(self) -> dict[str, int]:
        """Return the percentiles by name, each the length of a row (the nearest rank)."""
        last = len(self.values)
        return {name: self.values[max(0, ceil(share * last) - 1)] for name, share in SHARES.items()}

    def bins(self) -> list[tuple[int, int, int]]:
        """Return ``(from, to, rows)`` for powers of two that hold all lengths, without gaps."""
        if not self.values:
            return []
        edges = [0, *(2**power for power in range(self.values[-1].bit_length() + 1))]
        counts = [
            (low, high - 1, sum(low <= value < high for value in self.values))
            for low, high in pairwise(edges)
        ]
        first = next(n for n, (_, _, count) in enumerate(counts) if count)
        return counts[first:]
