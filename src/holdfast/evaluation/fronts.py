"""Worst case over the attacker's knobs, harmful score at equal accuracy, and Pareto fronts.

Everything is computed from answers: ``[settings][seeds][prompts]`` of hits, the same seeds and
prompts in the same order under every setting, so that resampling draws them together. HS (harmful
score, lower is better) and FA (fine-tuning accuracy, higher is better) are asked on prompts of
their own. All shares are in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from holdfast.errors import InputError
from holdfast.evaluation.statistics import Hits, bootstrap_weights, share_over_seeds

__all__ = [
    "AtAccuracy", "FrontPoint", "SettingHits", "WorstCase", "equal_accuracy_difference",
    "harmful_score_at", "interpolate", "on_front", "pareto_front", "worst_case",
]  # fmt: skip

SettingHits: TypeAlias = Sequence[Hits]
"""Whether an answer counts, ``[settings][seeds][prompts]``."""

Shares: TypeAlias = NDArray[np.float64]
Side: TypeAlias = tuple[Shares, Shares]  # FA and HS of one defense

RESAMPLES = 2000


@dataclass(frozen=True)
class WorstCase:
    """The largest harmful score over settings with its interval; ``setting`` is its index."""

    value: float
    low: float
    high: float
    setting: int


@dataclass(frozen=True)
class AtAccuracy:
    """A harmful score, or a difference of two, at a given fine-tuning accuracy.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end of the interval.
        inside: Share of resamples whose frontier reaches the accuracy; the interval is of those.
    """

    value: float
    low: float
    high: float
    inside: float


@dataclass(frozen=True)
class FrontPoint:
    """One setting: its shares, whether it is on the front, and in what share of resamples."""

    fa: float
    hs: float
    on_front: bool
    stability: float


def worst_case(hs: SettingHits, *, confidence: float = 0.95) -> WorstCase:
    """Return ``max_k HS_k`` over the K settings, with an interval for the true maximum.

    With ``[l_k(a), u_k(a)]`` the interval of setting k that misses with probability ``a`` on each
    side and ``alpha = 1 - confidence``::

        low  = max_k l_k(alpha / (2 K)),    high = max_k u_k(alpha / 2)

    The lower end pays for the choice (Bonferroni): it is wrong only if some ``l_k`` is. The upper
    end need not: it is at least the upper end of the truly worst setting, which no data chose. The
    value itself leans high, as the largest of several noisy shares does.

    Raises:
        InputError: ``hs`` is empty, or its settings differ in seeds or prompts.
    """
    table = _table(hs, "HS")
    corrected = 1 - (1 - confidence) / len(table)
    lows = [share_over_seeds(_rows(s), confidence=corrected).low for s in table]
    highs = [share_over_seeds(_rows(s), confidence=confidence).high for s in table]
    means = _means(table)
    worst = int(means.argmax())
    return WorstCase(float(means[worst]), max(lows), max(highs), worst)


def interpolate(fa: Shares, hs: Shares, accuracy: float) -> float | None:
    """Return HS at ``accuracy`` on the frontier through ``(fa_k, hs_k)``, in the order given.

    On the segment from k to k + 1 that holds the accuracy f::

        HS(f) = HS_k + (HS_{k+1} - HS_k) (f - FA_k) / (FA_{k+1} - FA_k)

    Where FA is not monotone and several segments hold f, the lowest is returned, since the
    defender chooses the strength. None where no segment does: nothing is extrapolated.

    Args:
        fa: Shares ``[settings]`` by rising strength.
        hs: Shares ``[settings]``.
        accuracy: Where to read, in [0, 1].
    """
    found = [float(h) for f, h in zip(fa, hs, strict=True) if f == accuracy]
    for k in range(len(fa) - 1):
        start, step = fa[k], fa[k + 1] - fa[k]
        if min(start, start + step) < accuracy < max(start, start + step):
            found.append(float(hs[k] + (hs[k + 1] - hs[k]) * (accuracy - start) / step))
    return min(found, default=None)


def harmful_score_at(
    accuracy: float,
    fa: SettingHits,
    hs: SettingHits,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> AtAccuracy | None:
    """Return a defense's HS at ``accuracy`` on its strength frontier; None outside its range.

    The interval is ``HS +- t(df) sqrt(V)``, cut to [0, 1], with ``V = V_S S / (S - 1) + V_P`` from
    resamples of seeds alone and of prompts alone. One seed has only ``V_P``.

    Args:
        accuracy: Where to read, in [0, 1].
        fa: ``[settings][seeds][prompts]`` by rising strength.
        hs: ``[settings][seeds][prompts]``, the same settings and seeds.
        confidence: Coverage in (0, 1).
        seed: Of the resampling.

    Raises:
        InputError: The two do not describe the same settings and seeds.
    """
    tables = _pair(fa, hs)
    value = interpolate(_means(tables[0]), _means(tables[1]), accuracy)
    if value is None:
        return None
    return _interval(value, [tables], accuracy, confidence, seed)


def equal_accuracy_difference(
    accuracy: float,
    ours: tuple[SettingHits, SettingHits],
    theirs: tuple[SettingHits, SettingHits],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> AtAccuracy | None:
    """Return our HS minus theirs, both read at ``accuracy``; None where either does not reach it.

    Args:
        accuracy: Where to read, in [0, 1].
        ours: ``(fa, hs)``, each ``[settings][seeds][prompts]`` by rising strength.
        theirs: The same of the other defense: other settings, the same seeds and prompts.
        confidence: Coverage in (0, 1).
        seed: Of the resampling, which draws the same seeds and prompts for both.

    Raises:
        InputError: The two sides differ in seeds or prompts.
    """
    sides = [_pair(*ours), _pair(*theirs)]
    shapes = [tuple(t.shape[1:] for t in side) for side in sides]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"an equal-accuracy comparison needs the same seeds and prompts on both sides; "
            f"given (seeds, prompts) of FA and HS {shapes[0]} and {shapes[1]}"
        )
    values = [interpolate(_means(fa), _means(hs), accuracy) for fa, hs in sides]
    if values[0] is None or values[1] is None:
        return None
    return _interval(values[0] - values[1], sides, accuracy, confidence, seed)


def on_front(fa: Shares, hs: Shares) -> NDArray[np.bool_]:
    """Return which points ``[..., settings]`` no other dominates.

    j dominates k if ``FA_j >= FA_k`` and ``HS_j <= HS_k`` and one of the two is strict: points
    that coincide are on the front together.
    """
    more, less = fa[..., :, None], hs[..., :, None]  # [..., j, 1] against [..., 1, k]
    as_good = (more >= fa[..., None, :]) & (less <= hs[..., None, :])
    better = (more > fa[..., None, :]) | (less < hs[..., None, :])
    return np.asarray(~(as_good & better).any(axis=-2))


def pareto_front(fa: SettingHits, hs: SettingHits, *, seed: int = 0) -> tuple[FrontPoint, ...]:
    """Return every setting with its place on the front and how often resamples agree.

    ``stability`` is the share of resamples of seeds and prompts, drawn together for all settings,
    in which the setting is on the front. It is no probability that the setting truly is, and at
    few seeds it leans to certainty, because resampling S runs shows (S - 1) / S of their spread.

    Args:
        fa: ``[settings][seeds][prompts]``.
        hs: ``[settings][seeds][prompts]``, the same settings and seeds.
        seed: Of the resampling.

    Raises:
        InputError: The two do not describe the same settings and seeds.
    """
    tables = _pair(fa, hs)
    points = _means(tables[0]), _means(tables[1])
    front, drawn = on_front(*points), on_front(*_resample([tables], seed)[0])
    stability = drawn.mean(axis=0)
    return tuple(
        FrontPoint(float(f), float(h), bool(on), float(share))
        for f, h, on, share in zip(*points, front, stability, strict=True)
    )


def _resample(sides: Sequence[Side], seed: int, axes: str = "both") -> list[Side]:
    """Return ``(fa, hs)`` of each side as ``[resamples, settings]``, one draw for all sides.

    ``axes`` names what is drawn: "both", or "seeds" or "prompts" with the other as it is.
    """
    generator = np.random.default_rng(seed)
    _, runs, of_fa = sides[0][0].shape
    sizes = runs, of_fa, sides[0][1].shape[2]
    seeds, first, second = (bootstrap_weights(size, RESAMPLES, generator) for size in sizes)
    if axes == "prompts":
        seeds = np.full_like(seeds, 1 / sizes[0])
    if axes == "seeds":
        first, second = np.full_like(first, 1 / sizes[1]), np.full_like(second, 1 / sizes[2])
    # Rounding must not break ties: shares that are equal as fractions stay equal.
    return [
        (_draw(seeds, fa, first).round(9), _draw(seeds, hs, second).round(9)) for fa, hs in sides
    ]


def _draw(seeds: Shares, table: Shares, prompts: Shares) -> Shares:
    """Return means ``[resamples, settings]`` of ``table`` [settings, seeds, prompts] by weight."""
    return np.stack([((seeds @ setting) * prompts).sum(axis=1) for setting in table], axis=1)


def _means(table: Shares) -> Shares:
    """Return the share of each setting of ``table`` [settings, seeds, prompts]."""
    return table.mean(axis=(1, 2)).round(9)


def _read(drawn: tuple[Shares, Shares], accuracy: float) -> Shares:
    """Return HS at ``accuracy`` in each resample, NaN where its frontier does not reach it."""
    read = (interpolate(f, h, accuracy) for f, h in zip(*drawn, strict=True))
    return np.array([np.nan if value is None else value for value in read])


def _gaps(sides: Sequence[Side], accuracy: float, seed: int, axes: str = "both") -> Shares:
    """Return in each resample HS at ``accuracy``, or the first side's minus the second's."""
    first, *others = (_read(drawn, accuracy) for drawn in _resample(sides, seed, axes))
    return first - others[0] if others else first


def _interval(
    value: float,
    sides: Sequence[Side],
    accuracy: float,
    confidence: float,
    seed: int,
) -> AtAccuracy:
    """Return ``value +- t(df) sqrt(V)`` from resamples of seeds and of prompts, cut to its range.

    ``V = V_S S / (S - 1) + V_P``, the factor of the first undoing the bootstrap's shrinkage of the
    spread of few runs, df by Satterthwaite. Noise of single answers is in both terms, so the
    interval leans wide.
    """
    floor = -1.0 if len(sides) > 1 else 0.0
    _, runs, prompts = sides[0][0].shape
    inside = float(np.mean(~np.isnan(_gaps(sides, accuracy, seed))))
    of_runs, of_prompts = 0.0, _variance(_gaps(sides, accuracy, seed, "prompts"))
    if runs > 1:
        of_runs = _variance(_gaps(sides, accuracy, seed, "seeds")) * runs / (runs - 1)
    variance = of_runs + of_prompts
    if not np.isfinite(variance):  # Too few resamples reach the accuracy to show a spread.
        return AtAccuracy(value, floor, 1.0, inside)
    parts = of_runs**2 / max(runs - 1, 1) + of_prompts**2 / max(prompts - 1, 1)
    freedom = variance**2 / parts if parts else 1.0
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * variance**0.5
    return AtAccuracy(value, max(floor, value - half), min(1.0, value + half), inside)


def _variance(drawn: Shares) -> float:
    """Return the variance of the resamples that reach the accuracy, inf for fewer than two."""
    kept = drawn[~np.isnan(drawn)]
    return float(kept.var()) if kept.size > 1 else float("inf")


def _pair(fa: SettingHits, hs: SettingHits) -> tuple[Shares, Shares]:
    """Return both as arrays, checked to describe the same settings and seeds."""
    left, right = _table(fa, "FA"), _table(hs, "HS")
    if left.shape[:2] != right.shape[:2]:
        raise InputError(
            f"FA and HS need the same settings and seeds; given (settings, seeds) "
            f"{left.shape[:2]} and {right.shape[:2]}"
        )
    return left, right


def _table(hits: SettingHits, name: str) -> Shares:
    """Return ``hits`` as ``[settings, seeds, prompts]`` of 0.0 and 1.0."""
    shapes = {(len(setting), len(row)) for setting in hits for row in setting}
    if len(shapes) != 1 or 0 in next(iter(shapes)) or not all(len(s) for s in hits):
        raise InputError(
            f"{name} needs the same seeds and prompts, at least one of each, under every setting; "
            f"given (seeds, prompts) {sorted(shapes) or 'none'}"
        )
    return np.asarray(hits, dtype=np.float64)


def _rows(setting: Shares) -> list[list[bool]]:
    """Return one setting's table as hits."""
    return setting.astype(bool).tolist()
