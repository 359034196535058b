"""Where a score stands: percentiles against reference rows through the same model.

A percentile is no probability. Each reference set weighs the same, however many rows it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.analysis.rows.columns import SetScore, top_mean
from holdfast.errors import DataError

__all__ = ["QUANTILES", "References"]

QUANTILES = tuple(round(n / 100, 2) for n in range(101))
"""A reference set is kept as these quantiles of its scores."""
DRAWS = 400
"""Draws of as many rows as the data set has, which its own score is held against."""
_SEED = 0


@dataclass(frozen=True)
class References:
    """One component's scores of each reference set; the first is the general one."""

    sets: Mapping[str, tuple[float, ...]]
    """Name → the scores of its rows, or their quantiles as a calibration file keeps them."""

    def __post_init__(self) -> None:
        """Refuse a reference without rows."""
        empty = next((name for name, values in self.sets.items() if not values), None)
        if empty is not None or not self.sets:
            what = "no reference set" if empty is None else f"reference set {empty!r} without rows"
            raise DataError(f"percentiles: {what}; give rows, an ordinary instruction set first")

    def percentiles(self, values: Sequence[float | None]) -> tuple[float | None, ...]:
        """Return each value's percentile in [0, 100]: the mean over the sets of the share below.

        Values that are equal count half.
        """
        scored = np.asarray([np.nan if v is None else v for v in values], dtype=np.float64)
        shares = np.mean([_below(scored, own) for own in self.sets.values()], axis=0)
        return tuple(
            None if value is None else round(100 * float(share), 4)
            for value, share in zip(values, shares, strict=True)
        )

    def set_score(self, values: Sequence[float | None]) -> SetScore:
        """Return the data set's score, and where it stands among draws of the general reference.

        Raises:
            DataError: No row has a score.
        """
        found = top_mean(values)
        general = next(iter(self.sets.values()))
        scored = [value for value in values if value is not None]
        line = float(np.quantile(general, 0.99))
        return SetScore(
            found,
            sum(value > line for value in scored) / len(scored),
            _percentile(found, _draws(general, len(scored))),
            {name: top_mean(own) for name, own in self.sets.items()},
        )

    def quantiles(self) -> dict[str, list[float]]:
        """Return each set as its quantiles, for a calibration file."""
        return {name: np.quantile(own, QUANTILES).tolist() for name, own in self.sets.items()}


def _below(scored: np.ndarray, own: Sequence[float]) -> np.ndarray:
    ordered = np.sort(np.asarray(own, dtype=np.float64))
    low = np.searchsorted(ordered, scored, "left")
    return (low + np.searchsorted(ordered, scored, "right")) / (2 * len(ordered))


def _draws(general: Sequence[float], rows: int) -> list[float]:
    rng = np.random.default_rng(_SEED)
    pool = np.asarray(general, dtype=np.float64)
    return [top_mean(rng.choice(pool, size=rows).tolist()) for _ in range(DRAWS)]


def _percentile(value: float, draws: Sequence[float]) -> float:
    return round(100 * float(_below(np.asarray([value]), draws)[0]), 2)
