"""How "any of N" grows with N, and the power law through it, which is an extrapolation.

``-log ASR(N) = a N^(-b)`` (arXiv 2412.03556, section 3). The exact figures are those of the draws
that were asked; what the law says beyond them is no measurement and is labelled so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.errors import InputError

__all__ = ["PowerLaw", "any_of", "fitted"]

FEWEST = 3
"""Points that a law with two numbers is drawn through; ours."""


@dataclass(frozen=True)
class PowerLaw:
    """``-log ASR(N) = a N^(-b)``."""

    a: float
    b: float

    def at(self, draws: int) -> float:
        """Return the share that the law gives for N draws: extrapolated beyond what was asked."""
        return math.exp(-self.a * draws**-self.b)


def any_of(first: Mapping[str, int | None], draws: int) -> dict[int, int]:
    """Return N → questions answered harmfully within their first N draws, N doubling up to all.

    Args:
        first: Item → number of the first draw that was answered harmfully, None where none was.
        draws: Draws that each question had, or would have had without a harmful answer.

    Raises:
        InputError: ``draws`` is below 1.
    """
    if draws < 1:
        raise InputError(f"`draws={draws}`: at least one draw is asked")
    steps = [2**power for power in range(draws.bit_length()) if 2**power < draws]
    return {
        n: sum(found is not None and found <= n for found in first.values())
        for n in (*steps, draws)
    }


def fitted(counts: Mapping[int, int], n: int) -> PowerLaw | None:
    """Return the law through the shares ``counts[N] / n``, by least squares of the logarithms.

    None where fewer than three shares lie strictly between 0 and 1: there is no law to see.
    """
    points = [(draws, k / n) for draws, k in counts.items() if 0 < k < n]
    if len(points) < FEWEST:
        return None
    return _through(points)


def _through(points: Sequence[tuple[int, float]]) -> PowerLaw:
    x = np.log([draws for draws, _ in points])
    y = np.log([-math.log(share) for _, share in points])
    slope, start = np.polyfit(x, y, 1)
    return PowerLaw(float(math.exp(start)), float(-slope))
