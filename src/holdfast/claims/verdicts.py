"""Shapes of claims as pure functions of measured tables, each with a verdict declared beforehand.

A table is ``[seeds][prompts]`` of answers that count; all tables of one call hold the same seeds
and prompts in the same order. Effects are oriented as claimed: positive is what the claim says.
Intervals are of 95 %, over seeds and prompts. With fewer than 5 seeds nothing is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from holdfast.evaluation.compare import MIN_SEEDS_TO_RANK
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.resampling import SettingHits
from holdfast.evaluation.settings.equal_accuracy import equal_accuracy_difference
from holdfast.evaluation.statistics import Hits, paired_difference, share_over_seeds, student

__all__ = [
    "HOLDS", "NOT", "OPEN", "PART", "Finding", "Verdict", "apart", "at_equal_accuracy", "bound",
    "combined", "difference", "equivalence", "not_comparable", "not_worse", "of_effect",
    "of_margin", "trend", "uneven",
]  # fmt: skip

Verdict = Literal["holds", "holds in part", "does not hold", "not comparable"]
HOLDS: Verdict = "holds"
PART: Verdict = "holds in part"
NOT: Verdict = "does not hold"
OPEN: Verdict = "not comparable"
ROUNDING = 1e-9


@dataclass(frozen=True)
class Finding:
    """What one test says: a statistic with its interval, and the verdict that follows from them."""

    verdict: Verdict
    why: str
    """Which rule gave the verdict, as the end of a sentence."""
    statistic: Interval | None = None
    seeds: int = 0


def not_comparable(why: str) -> Finding:
    """Return the finding of a test that cannot be made."""
    return Finding(OPEN, why)


def of_effect(effect: Interval, smallest: float) -> tuple[Verdict, str]:
    """Return the verdict on an effect that is positive where the claim is right.

    ``holds``: the interval excludes 0 on the claimed side and the effect is at least ``smallest``.
    ``does not hold``: the effect is 0 or on the other side, or its interval lies within
    ``+-smallest``. ``holds in part``: all else, the claimed side without enough evidence or size.
    """
    low, high = effect.low, effect.high
    if low > 0 and effect.value >= smallest:
        return HOLDS, "the interval excludes 0 on the claimed side"
    if effect.value <= 0:
        told = "excludes" if high < 0 else "does not exclude"
        return NOT, f"not on the claimed side, and the interval {told} 0"
    if -smallest < low and high < smallest:
        return NOT, f"the interval lies within ±{100 * smallest:g} points"
    if low > 0:
        size = f"{100 * smallest:g} points"
        return PART, f"on the claimed side but under the smallest effect of {size}"
    return PART, "on the claimed side, but the interval includes 0"


def difference(
    ours: Hits, theirs: Hits, towards: Literal["below", "above"], smallest: float
) -> Finding:
    """Judge whether our share is below (above) theirs; the statistic is ours minus theirs."""
    return _paired(
        ours, theirs, lambda gap: of_effect(gap if towards == "above" else -gap, smallest)
    )


def trend(levels: Sequence[Hits], towards: Literal["rises", "falls"], smallest: float) -> Finding:
    """Judge whether the share rises (falls) along ``levels``; the statistic is last minus first.

    A step against the claimed direction whose own interval excludes 0 leaves ``holds in part``.
    """
    side = "above" if towards == "rises" else "below"
    ends = difference(levels[-1], levels[0], side, smallest)
    if ends.verdict != HOLDS:
        return ends
    against = "below" if side == "above" else "above"
    steps = (difference(later, earlier, against, 0.0) for earlier, later in pairwise(levels))
    back = [number for number, step in enumerate(steps, 1) if step.verdict == HOLDS]
    if not back:
        return ends
    return replace(ends, verdict=PART, why=f"step {back[0]} goes the other way")


def equivalence(ours: Hits, theirs: Hits, margin: float) -> Finding:
    """Judge whether two shares are the same; the statistic is ours minus theirs.

    ``holds``: the interval lies within ``+-margin``. ``holds in part``: the difference does, its
    interval does not. ``does not hold``: the difference is beyond the margin.
    """

    def rule(gap: Interval) -> tuple[Verdict, str]:
        points = f"±{100 * margin:g} points"
        if -margin <= gap.low and gap.high <= margin:
            return HOLDS, f"the interval lies within {points}"
        if abs(gap.value) <= margin:
            return PART, f"the interval reaches beyond {points}"
        return NOT, f"the difference is beyond {points}"

    return _paired(ours, theirs, rule)


def not_worse(ours: Hits, theirs: Hits, margin: float, *, lower_is_better: bool) -> Finding:
    """Judge whether our share is worse than theirs by at most ``margin``: see ``of_margin``."""

    def rule(gap: Interval) -> tuple[Verdict, str]:
        return of_margin(gap if lower_is_better else -gap, margin)

    return _paired(ours, theirs, rule)


def of_margin(worse: Interval, margin: float) -> tuple[Verdict, str]:
    """Return the verdict of non-inferiority on how much worse ours is; positive is worse.

    ``holds``: the interval's worse end is within ``margin``. ``holds in part``: the mean is and
    that end is not, so it is undecided: more seeds or questions are needed. ``does not hold``: the
    mean is beyond it.
    """
    points = f"{100 * margin:g} points"
    # Differences of shares are sums of 1/n: rounding must not decide at the margin itself.
    if worse.high <= margin + ROUNDING:
        return HOLDS, f"the whole interval is at most {points} worse"
    if worse.value <= margin + ROUNDING:
        end = f"{100 * worse.high:.1f} points worse"
        return PART, f"undecided: the mean is at most {points} worse, the interval reaches {end}"
    if worse.low > margin + ROUNDING:
        return NOT, f"the whole interval is more than {points} worse"
    return NOT, f"the mean is more than {points} worse"


def bound(hits: Hits, towards: Literal["at_least", "at_most"], level: float) -> Finding:
    """Judge whether a share is at least (at most) ``level``; the statistic is the share.

    ``holds``: its whole interval is. ``holds in part``: the share is, its interval is not.
    """
    if len(hits) < MIN_SEEDS_TO_RANK:
        return _too_few(len(hits))
    found = share_over_seeds(hits)
    side = 1 if towards == "at_least" else -1
    end = found.low if side > 0 else found.high
    verdict, why = NOT, f"it is on the other side of {100 * level:g} %"
    if side * (found.value - level) >= 0:
        verdict, why = PART, f"its interval reaches beyond {100 * level:g} %"
    if side * (end - level) >= 0:
        verdict, why = HOLDS, f"its interval is on the claimed side of {100 * level:g} %"
    return Finding(verdict, why, found, len(hits))


def at_equal_accuracy(
    accuracy: float,
    ours: tuple[SettingHits, SettingHits],
    theirs: tuple[SettingHits, SettingHits],
    smallest: float,
) -> Finding:
    """Judge whether our HS is below theirs where both frontiers have the same FA.

    Args:
        accuracy: That FA, in [0, 1].
        ours: ``(fa, hs)``, each ``[settings][seeds][prompts]`` by rising strength.
        theirs: The same of the other.
        smallest: See :func:`of_effect`.
    """
    seeds = len(ours[0][0])
    if seeds < MIN_SEEDS_TO_RANK:
        return _too_few(seeds)
    found = equal_accuracy_difference(accuracy, ours, theirs)
    if found is None:
        return not_comparable(
            f"no strength of one of the two reaches a task score of {100 * accuracy:g} %"
        )
    return Finding(*of_effect(-found, smallest), found, seeds)


def uneven(profiles: Sequence[Sequence[float]], smallest: float) -> Finding:
    """Judge whether layers differ: how far the largest stands above the mean layer, as a share.

    With ``r_s[l] = c_s[l] / mean_k c_s[k] - 1`` of seed s, the statistic is the largest over layers
    of ``mean_s r_s[l]``, with Student's interval over seeds at ``1 - 0.05 / layers``: the largest
    of several noisy layers always stands above, and Bonferroni pays for choosing it. The value
    itself leans high.

    Args:
        profiles: ``[seeds][layers]``, above 0.
        smallest: See :func:`of_effect`.
    """
    table = np.asarray(profiles, dtype=np.float64)
    if len(table) < MIN_SEEDS_TO_RANK:
        return _too_few(len(table))
    ratios = table / table.mean(axis=1, keepdims=True) - 1
    largest = ratios[:, int(ratios.mean(axis=0).argmax())]
    found = student(largest, 1 - 0.05 / table.shape[1])
    return Finding(*of_effect(found, smallest), found, len(table))


def apart(
    ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], smallest: float
) -> Finding:
    """Judge whether two models spread over their layers differently.

    The statistic is the largest difference over layers of a layer's share of its model's total,
    with Welch's interval at ``1 - 0.05 / layers`` (Bonferroni pays for choosing the layer).

    Args:
        ours: ``[seeds][layers]`` of one model.
        theirs: The same of another with as many layers; other seeds may be.
        smallest: See :func:`of_effect`.
    """
    a, b = (_shares(side) for side in (ours, theirs))
    seeds = min(len(a), len(b))
    if seeds < MIN_SEEDS_TO_RANK:
        return _too_few(seeds)
    if a.shape[1] != b.shape[1]:
        return not_comparable(f"the models have {a.shape[1]} and {b.shape[1]} layers")
    gaps = a.mean(axis=0) - b.mean(axis=0)
    at = int(np.abs(gaps).argmax())
    test = stats.ttest_ind(a[:, at], b[:, at], equal_var=False)
    ends = test.confidence_interval(1 - 0.05 / a.shape[1])
    found = Interval(float(gaps[at]), float(ends.low), float(ends.high))
    return Finding(*of_effect(found if found.value >= 0 else -found, smallest), found, seeds)


def combined(tests: Sequence[Finding], provided: Sequence[Finding] = ()) -> Verdict:
    """Return the verdict of a claim from those of its tests and of what it is conditional on.

    ``not comparable`` if no test could be made, or no condition be checked where there are any.
    ``holds`` if every test does and every condition is met; ``does not hold`` if every test that
    could be made does not; ``holds in part`` otherwise.
    """
    told = [one.verdict for one in tests if one.verdict != OPEN]
    checked = [one.verdict for one in provided if one.verdict != OPEN]
    if not told or (provided and not checked):
        return OPEN
    if all(verdict == NOT for verdict in told):
        return NOT
    whole = len(told) == len(tests) and len(checked) == len(provided)
    return HOLDS if whole and {*told, *checked} == {HOLDS} else PART


def _paired(ours: Hits, theirs: Hits, rule: Callable[[Interval], tuple[Verdict, str]]) -> Finding:
    """Return what a rule says of ours minus theirs."""
    if len(ours) < MIN_SEEDS_TO_RANK:
        return _too_few(len(ours))
    found = paired_difference(ours, theirs)
    return Finding(*rule(found), found, len(ours))


def _too_few(seeds: int) -> Finding:
    why = f"{seeds} seeds are in common, fewer than {MIN_SEEDS_TO_RANK}"
    return Finding(OPEN, why, seeds=seeds)


def _shares(profiles: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    table = np.asarray(profiles, dtype=np.float64)
    return table / table.sum(axis=1, keepdims=True)
