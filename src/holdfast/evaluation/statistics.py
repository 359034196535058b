"""Intervals and tests for shares: Wilson, a bootstrap over prompts and seeds, McNemar.

Intervals have 95 % coverage unless said. Everything random takes a seed.

An answer is indexed by the run's seed and by its prompt, and neither axis is a free sample: the
same prompts return under every seed. The bootstrap therefore resamples **both** axes (the
"pigeonhole" bootstrap, Owen 2007), and a difference resamples the same prompts and seeds for both
sides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from holdfast.errors import InputError

__all__ = [
    "Difference",
    "Estimate",
    "Hits",
    "Interval",
    "mcnemar",
    "paired_difference",
    "share_over_seeds",
    "wilson",
]

Hits: TypeAlias = Sequence[Sequence[bool]]
"""Whether an answer counts, ``[seeds][prompts]``: same prompts, same order in every row."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A confidence interval ``[low, high]``."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A share over ``prompts`` prompts and ``seeds`` runs with its interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    prompts: int
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A difference of two shares on the same prompts and seeds, in [-1, 1].

    Attributes:
        value: Ours minus theirs.
        low: Lower end of the interval.
        high: Upper end of the interval.
        p_values: McNemar's exact p-value, one for each seed.
    """

    value: float
    low: float
    high: float
    p_values: tuple[float, ...]


def wilson(count: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of the share ``count / n`` (Wilson 1927).

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


def share_over_seeds(hits: Hits, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Return the mean share over seeds with its interval.

    One seed gives Wilson's interval. Several give the two-way bootstrap. Where every answer counts
    alike the bootstrap has no width; Wilson over the distinct prompts stands in, as if there were
    one run.

    Raises:
        InputError: ``hits`` is empty or its rows differ in length.
    """
    table = _table(hits)
    seeds, prompts = table.shape
    value = float(table.mean())
    if seeds == 1 or value in {0.0, 1.0}:
        interval = wilson(round(value * prompts), prompts, confidence)
    else:
        interval = _bootstrap(table, confidence, seed)
    return Estimate(value, interval.low, interval.high, prompts, seeds)


def paired_difference(
    ours: Hits, theirs: Hits, *, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Return the mean of ``ours - theirs``, paired by prompt and by seed, with its interval.

    The bootstrap has no width where every pair differs alike; Newcombe's square-and-add interval
    of the two Wilson intervals (Newcombe 1998, method 10) stands in.

    Args:
        ours: ``[seeds][prompts]``.
        theirs: ``[seeds][prompts]``, the same prompts and seeds in the same order.
        confidence: Coverage in (0, 1).
        seed: Of the bootstrap's generator.

    Raises:
        InputError: The two differ in shape.
    """
    left, right = _table(ours), _table(theirs)
    if left.shape != right.shape:
        raise InputError(
            f"a paired difference needs the same seeds and prompts on both sides; "
            f"given {left.shape} and {right.shape}"
        )
    gap = left - right
    constant = bool(np.all(gap == gap.flat[0]))
    interval = _newcombe(left, right, confidence) if constant else _bootstrap(gap, confidence, seed)
    p_values = tuple(mcnemar(a, b) for a, b in zip(ours, theirs, strict=True))
    return Difference(float(gap.mean()), interval.low, interval.high, p_values)


def mcnemar(ours: Sequence[bool], theirs: Sequence[bool]) -> float:
    """Return the exact two-sided p-value of McNemar's test on paired yes-or-no answers.

    With b = only ours counts and c = only theirs counts: the binomial test of b in b + c at 1/2.
    Without a discordant pair it is 1.

    Raises:
        InputError: The two differ in length.
    """
    if len(ours) != len(theirs):
        raise InputError(f"McNemar needs pairs; given {len(ours)} and {len(theirs)} answers")
    only_ours = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    only_theirs = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    discordant = only_ours + only_theirs
    if discordant == 0:
        return 1.0
    return float(stats.binomtest(only_ours, discordant, 0.5).pvalue)


def _table(hits: Hits) -> NDArray[np.float64]:
    """Return ``hits`` as an array ``[seeds, prompts]`` of 0.0 and 1.0."""
    lengths = {len(row) for row in hits}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"shares over seeds need the same prompts, at least one, under every seed; "
            f"given rows of {sorted(lengths) or 'no'} answers"
        )
    return np.asarray(hits, dtype=np.float64)


def _bootstrap(table: NDArray[np.float64], confidence: float, seed: int) -> Interval:
    """Percentile interval of the mean of ``table`` [seeds, prompts], both axes resampled."""
    generator = np.random.default_rng(seed)
    seeds, prompts = table.shape
    # How often each seed [R, seeds] and each prompt [R, prompts] is drawn stands for the draw.
    of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    of_prompts = generator.multinomial(prompts, np.full(prompts, 1 / prompts), RESAMPLES) / prompts
    means = np.einsum("rp,rp->r", of_seeds @ table, of_prompts)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _newcombe(left: NDArray[np.float64], right: NDArray[np.float64], confidence: float) -> Interval:
    """Square-and-add interval of ``mean(left) - mean(right)`` over the distinct prompts."""
    prompts = left.shape[1]
    mine, yours = float(left.mean()), float(right.mean())
    a = wilson(round(mine * prompts), prompts, confidence)
    b = wilson(round(yours * prompts), prompts, confidence)
    below = math.hypot(mine - a.low, b.high - yours)
    above = math.hypot(a.high - mine, yours - b.low)
    gap = mine - yours
    return Interval(max(-1.0, gap - below), min(1.0, gap + above))
