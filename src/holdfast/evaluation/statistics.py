"""Intervals and tests for shares: Wilson, crossed seeds and prompts, a bootstrap, McNemar.

Intervals have 95 % coverage unless said. Everything random takes a seed.

An answer is indexed by the run's seed and by its prompt, and neither axis is a free sample: the
same prompts return under every seed, and a run may shift all its answers. Several seeds are
therefore read as a crossed design (:mod:`holdfast.evaluation.crossed`). A percentile bootstrap over
both axes (the "pigeonhole" bootstrap, Owen 2007) covers 84 to 93 % at five seeds that differ much
and 77 to 91 % at three, so only one seed's difference and
:mod:`holdfast.evaluation.settings.fronts` resample. ``results/statistics_check.json`` holds the
coverage of both.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from holdfast.errors import InputError
from holdfast.evaluation.crossed import difference_ends, share_ends
from holdfast.evaluation.interval import Difference, Estimate, Interval

__all__ = [
    "Hits", "mcnemar", "paired_contrast", "paired_difference", "share_over_seeds", "student",
    "wilson",
]  # fmt: skip

Hits: TypeAlias = Sequence[Sequence[float]]
"""Whether an answer counts, or what share of it, ``[seeds][prompts]``, in the same order."""

Floats: TypeAlias = NDArray[np.float64]
Ends: TypeAlias = tuple[float, float]

RESAMPLES = 2000
WHOLE = 1e-9  # A count this near to a whole number is one.
ALIKE = 1e-6  # Answers that are shares and differ by less show no spread.


def wilson(count: float, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of the share ``count / n`` (Wilson 1927).

    Args:
        count: Successes, 0 to ``n``. Of answers that are shares themselves their sum: they vary
            less than ones and zeros of the same mean, so the interval is wide rather than narrow.
        n: Trials, at least 1.
        confidence: Coverage in (0, 1).

    Raises:
        InputError: ``n`` is 0 or ``count`` is not in [0, n].
    """
    if n < 1 or not 0 <= count <= n:
        raise InputError(f"a share of {count} in {n} has no interval; expected 0 <= count <= n")
    whole = round(count)
    if abs(count - whole) > WHOLE:
        return _wilson_of_shares(count / n, n, confidence)
    from scipy import stats  # noqa: PLC0415  # Half a second that only measuring needs.

    ends = stats.binomtest(whole, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(whole / n, float(ends.low), float(ends.high))


def _wilson_of_shares(mean: float, n: int, confidence: float) -> Interval:
    z = float(special.ndtri((1 + confidence) / 2))
    weight = z * z / n
    center = (mean + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (mean * (1 - mean) + weight / 4)) / (1 + weight)
    return Interval(mean, center - half, center + half)


def student(values: Sequence[float] | Floats, confidence: float = 0.95) -> Interval:
    """Return the mean of ``values`` [n], n at least 2, ``-+ t(n - 1) s / sqrt(n)``."""
    table = np.asarray(values, dtype=np.float64)
    mean, freedom = float(table.mean()), table.size - 1
    error = float(table.std(ddof=1)) / math.sqrt(table.size)
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * error
    return Interval(mean, mean - half, mean + half)


def share_over_seeds(hits: Hits, *, confidence: float = 0.95) -> Estimate:
    """Return the mean share over seeds with its interval.

    One seed gives Wilson's interval, which says nothing of other runs. Several give the crossed
    design's (:func:`~holdfast.evaluation.crossed.share_ends`), inside (0, 1). Where every answer
    counts alike nothing shows a spread; Wilson over the distinct prompts stands in, as if there
    were one run.

    Args:
        hits: ``[seeds][prompts]``.
        confidence: Coverage in (0, 1).

    Raises:
        InputError: ``hits`` is empty or its rows differ in length.
    """
    table = _table(hits)
    seeds, prompts = table.shape
    value = float(table.mean())
    if seeds == 1 or float(np.ptp(table)) < ALIKE:
        found = wilson(value * prompts, prompts, confidence)
        low, high = found.low, found.high
    else:
        low, high = map(float, share_ends(table, confidence))
    return Estimate(value, low, high, prompts, seeds)


def paired_difference(
    ours: Hits, theirs: Hits, *, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Return the mean of ``ours - theirs``, paired by prompt and by seed, with its interval.

    One seed gives the percentile bootstrap over prompts. Several give the crossed design's
    ``d +- t sqrt(V)`` (:func:`~holdfast.evaluation.crossed.difference_ends`). Neither has a width
    where every pair differs alike; Newcombe's square-and-add interval of the two Wilson intervals
    (Newcombe 1998, method 10) stands in.

    Args:
        ours: ``[seeds][prompts]``.
        theirs: ``[seeds][prompts]``, the same prompts and seeds in the same order.
        confidence: Coverage in (0, 1).
        seed: Of the bootstrap's generator; used with one seed of runs only.

    Raises:
        InputError: The two differ in shape.
    """
    found = paired_contrast(ours, theirs, confidence=confidence, seed=seed)
    yes_or_no = np.isin([ours, theirs], (0.0, 1.0)).all()
    pairs = zip(ours, theirs, strict=True) if yes_or_no else ()
    p_values = tuple(mcnemar(a, b) for a, b in pairs)
    return Difference(found.value, found.low, found.high, p_values)


def paired_contrast(
    ours: Hits, theirs: Hits, factor: float = 1.0, *, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean of ``ours - factor * theirs``, its interval as in ``paired_difference``.

    Whether a share is at most a third of another is whether the contrast with a factor of 1/3 is
    at most 0, which has an interval where a ratio of two shares near 0 has none.

    Args:
        ours: ``[seeds][prompts]``.
        theirs: ``[seeds][prompts]``, the same prompts and seeds in the same order.
        factor: In (0, 1].
        confidence: Coverage in (0, 1).
        seed: Of the bootstrap's generator; used with one seed of runs only.

    Raises:
        InputError: The two differ in shape.
    """
    left, right = _table(ours), _table(theirs)
    if left.shape != right.shape:
        raise InputError(
            f"a paired difference needs the same seeds and prompts on both sides; "
            f"given {left.shape} and {right.shape}"
        )
    gap = left - factor * right
    if float(np.ptp(gap)) < ALIKE:
        low, high = _newcombe(left, right, factor, confidence)
    elif gap.shape[0] == 1:
        low, high = _bootstrap(gap[0], confidence, seed)
    else:
        low, high = map(float, difference_ends(gap, confidence))
    return Interval(float(gap.mean()), low, high)


def mcnemar(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the exact two-sided p-value of McNemar's test on paired yes-or-no answers.

    With b = only ours counts and c = only theirs counts: the binomial test of b in b + c at 1/2.
    Without a discordant pair it is 1.

    Raises:
        InputError: The two differ in length.
    """
    if len(ours) != len(theirs):
        raise InputError(f"McNemar needs pairs; given {len(ours)} and {len(theirs)} answers")
    left, right = np.asarray(ours, dtype=bool), np.asarray(theirs, dtype=bool)
    only_ours, only_theirs = int((left & ~right).sum()), int((right & ~left).sum())
    # At 1/2 the two tails are alike. Where b = c they share the middle and would sum to above 1.
    tail = special.bdtr(min(only_ours, only_theirs), only_ours + only_theirs, 0.5)
    return min(1.0, 2 * float(tail))


def _table(hits: Hits) -> Floats:
    """Return ``hits`` as an array ``[seeds, prompts]`` in [0, 1]."""
    lengths = {len(row) for row in hits}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"shares over seeds need the same prompts, at least one, under every seed; "
            f"given rows of {sorted(lengths) or 'no'} answers"
        )
    return np.asarray(hits, dtype=np.float64)


def _bootstrap(gap: Floats, confidence: float, seed: int) -> Ends:
    """Percentile interval of the mean of ``gap`` [prompts], prompts resampled."""
    # Drawing how often each value (-1, 0, 1) falls is drawing the prompts, and much quicker; where
    # answers are shares, there are as many values as prompts at most.
    values, counts = np.unique(gap, return_counts=True)
    generator = np.random.default_rng(seed)
    means = generator.multinomial(gap.size, counts / gap.size, RESAMPLES) @ values / gap.size
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _newcombe(left: Floats, right: Floats, factor: float, confidence: float) -> Ends:
    """Square-and-add interval of ``mean(left) - factor * mean(right)`` over distinct prompts."""
    prompts = left.shape[1]
    mine, yours = float(left.mean()), float(right.mean())
    a, b = (wilson(mean * prompts, prompts, confidence) for mean in (mine, yours))
    below = math.hypot(mine - a.low, factor * (b.high - yours))
    above = math.hypot(a.high - mine, factor * (yours - b.low))
    gap = mine - factor * yours
    return max(-1.0, gap - below), min(1.0, gap + above)
