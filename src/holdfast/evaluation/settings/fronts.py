"""Pareto fronts: the settings that no other beats in both harmful score and accuracy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.resampling import SettingHits, Shares, both_tables, resample, setting_means

__all__ = ["FrontPoint", "on_front", "pareto_front"]


@dataclass(frozen=True)
class FrontPoint:
    """Whether a setting is on the front, and in what share of resamples."""

    on_front: bool
    stability: float


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
    tables = both_tables(fa, hs)
    front = on_front(*map(setting_means, tables))
    stability = on_front(*resample([tables], seed)[0]).mean(axis=0)
    return tuple(map(FrontPoint, front.tolist(), stability.tolist()))
