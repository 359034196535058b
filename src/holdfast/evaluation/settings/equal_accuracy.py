"""Harmful score at equal accuracy: families of one defense's strengths, read at the same FA."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from holdfast.errors import InputError
from holdfast.evaluation.interval import AtAccuracy
from holdfast.evaluation.resampling import (
    SettingHits,
    Shares,
    Side,
    both_tables,
    resample,
    setting_means,
)

__all__ = ["equal_accuracy_difference", "harmful_score_at", "interpolate"]


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
    accuracy: float, fa: SettingHits, hs: SettingHits, *, confidence: float = 0.95, seed: int = 0
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
    tables = both_tables(fa, hs)
    value = interpolate(setting_means(tables[0]), setting_means(tables[1]), accuracy)
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
    sides = [both_tables(*ours), both_tables(*theirs)]
    shapes = [tuple(t.shape[1:] for t in side) for side in sides]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"an equal-accuracy comparison needs the same seeds and prompts on both sides; "
            f"given (seeds, prompts) of FA and HS {shapes[0]} and {shapes[1]}"
        )
    values = [interpolate(setting_means(fa), setting_means(hs), accuracy) for fa, hs in sides]
    if values[0] is None or values[1] is None:
        return None
    return _interval(values[0] - values[1], sides, accuracy, confidence, seed)


def _read(drawn: Side, accuracy: float) -> Shares:
    """Return HS at ``accuracy`` in each resample, NaN where its frontier does not reach it."""
    read = (interpolate(f, h, accuracy) for f, h in zip(*drawn, strict=True))
    return np.array([np.nan if value is None else value for value in read])


def _gaps(sides: Sequence[Side], accuracy: float, seed: int, axes: str = "both") -> Shares:
    """Return in each resample HS at ``accuracy``, or the first side's minus the second's."""
    first, *others = (_read(drawn, accuracy) for drawn in resample(sides, seed, axes))
    return first - others[0] if others else first


def _interval(
    value: float, sides: Sequence[Side], accuracy: float, confidence: float, seed: int
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
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * variance**0.5
    return AtAccuracy(value, max(floor, value - half), min(1.0, value + half), inside)


def _variance(drawn: Shares) -> float:
    """Return the variance of the resamples that reach the accuracy, inf for fewer than two."""
    kept = drawn[~np.isnan(drawn)]
    return float(kept.var()) if kept.size > 1 else float("inf")
