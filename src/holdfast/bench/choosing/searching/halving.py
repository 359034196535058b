"""Who goes on to the next rung: non-dominated sort, then the smallest margin, then the cost.

Successive halving with a non-dominated sort instead of one score (arXiv 2106.12639). Within a front
the one whose smallest margin to a limit is largest comes first: the order of the test later on.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["ETA", "FEWEST", "fronts", "kept_of", "ranking", "rung_steps"]

ETA = 3
FEWEST = 3
"""Candidates that stay at least: a rung of few prompts is no judge between two; ours."""


def rung_steps(steps: int) -> list[int]:
    """Return the optimizer steps of each rung: a ninth, a third, all; equal ones once."""
    return sorted({max(1, round(steps / ETA**power)) for power in (2, 1, 0)})


def kept_of(entered: int) -> int:
    """Return how many of a rung's candidates stay."""
    return min(entered, max(FEWEST, math.ceil(entered / ETA)))


def fronts(points: Any) -> list[int]:
    """Return the front of each of ``points`` [candidates, objectives], less is better; 0 is best.

    One dominates another where it is nowhere worse and somewhere better. Front k is what nothing
    dominates once all fronts before it are gone.
    """
    table = np.asarray(points, dtype=np.float64)
    as_good = (table[:, None] <= table[None]).all(axis=-1)
    better = np.asarray(as_good & (table[:, None] < table[None]).any(axis=-1))
    found, left, number = [0] * len(table), set(range(len(table))), 0
    while left:
        front = {one for one in left if not any(better[other, one] for other in left)}
        for one in front:
            found[one] = number
        left, number = left - front, number + 1
    return found


def ranking(points: Any, margins: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Return the places of the candidates, the best first: by front, margin, cost, order."""
    front = fronts(points)
    return sorted(range(len(margins)), key=lambda n: (front[n], -margins[n], costs[n], n))
