"""Intervals and tests for shares: Wilson, paired bootstrap over prompts and seeds, McNemar.

Intervals are 95 % unless said. Everything random takes a seed.
"""

from dataclasses import dataclass

from scipy import stats

from holdfast.errors import InputError

__all__ = ["Interval", "wilson"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval ``[low, high]``."""

    low: float
    high: float


def wilson(count: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of the share ``count / n`` (Wilson 1927, eq. 4).

    Args:
        count: Successes, 0 to ``n``.
        n: Trials, at least 1.
        confidence: Coverage in (0, 1).

    Raises:
        InputError: ``n`` is 0 or ``count`` is not in [0, n].
    """
    if n < 1 or not 0 <= count <= n:
        raise InputError(f"a share of {count} in {n} has no interval; expected 0 <= count <= n")
    interval = stats.binomtest(count, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(low=float(interval.low), high=float(interval.high))
