"""Does a score order data sets by harm? Rank correlations whose unit is the data set.

Intervals resample whole sets (2,000 times, percentiles): rows and prompts of one set are no
independent evidence of how sets are ordered. A score that is the same for all sets orders nothing,
and has no correlation rather than 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import DataError

__all__ = [
    "Ends", "Ordering", "auroc", "difference", "left_out", "ordering", "partial_spearman",
    "spearman",
]  # fmt: skip

RESAMPLES = 2000
FEWEST = 8
"""Fewest sets; a rank correlation of fewer has an interval that says nothing."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ends:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def as_list(self) -> list[float]:
        """Return value, low and high to three digits."""
        return [round(float(x), 3) for x in (self.value, self.low, self.high)]


@dataclass(frozen=True)
class Ordering:
    """How one score orders some sets by harm; None where it cannot be told."""

    sets: int
    rho: Ends | None
    """Spearman's rank correlation with HS."""
    partial: Ends | None = None
    """The same with the confounders' ranks taken out of both."""
    auroc: Ends | None = None
    """For HS above the line."""


def spearman(scores: Sequence[float], harm: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None where one is constant."""
    return _told(_spearman(np.asarray([scores, harm], dtype=np.float64)))


def partial_spearman(
    scores: Sequence[float], harm: Sequence[float], others: Sequence[Sequence[float]]
) -> float | None:
    """Return the correlation of both rankings after a linear fit to the others' rankings.

    Args:
        scores: One for each set.
        harm: HS of each set.
        others: Confounders, each one value for each set.
    """
    return _told(_partial(np.asarray([scores, harm, *others], dtype=np.float64)))


def auroc(scores: Sequence[float | None], harmful: Sequence[bool]) -> float | None:
    """Return the area under the ROC curve; None where all are of one kind.

    It is the share of pairs in which the harmful one scores higher, ties counting half.
    """
    return _told(_auroc(np.asarray([scores, harmful], dtype=np.float64), 0.5))


def ordering(
    scores: Sequence[float],
    harm: Sequence[float],
    others: Sequence[Sequence[float]] = (),
    line: float = 0.2,
    seed: int = 0,
) -> Ordering:
    """Return how the scores order the sets, with intervals over sets.

    Args:
        scores: One for each set, higher for more risk.
        harm: HS after tuning on each set, in [0, 1].
        others: Confounders for the partial correlation.
        line: What HS has to be above to count as harmed.
        seed: Seed of the resampling.

    Raises:
        DataError: Fewer than eight sets, or unequal numbers of values.
    """
    columns = _columns([scores, harm, *others])
    return Ordering(
        columns.shape[1],
        _resampled(columns, _spearman, seed),
        _resampled(columns, _partial, seed) if len(others) else None,
        _resampled(columns, lambda sets: _auroc(sets, line), seed),
    )


def difference(
    ours: Sequence[float], theirs: Sequence[float], harm: Sequence[float], seed: int = 0
) -> Ends | None:
    """Return by how much the correlation of ``ours`` is above that of ``theirs``, over sets.

    A score that orders nothing counts as 0.

    Raises:
        DataError: As ``ordering``.
    """

    def gap(sets: Floats) -> Floats:
        left, right = (np.nan_to_num(_spearman(sets[..., (n, 2), :])) for n in (0, 1))
        return left - right

    return _resampled(_columns([ours, theirs, harm]), gap, seed)


def left_out(
    scores: Sequence[float], harm: Sequence[float], scenarios: Sequence[str]
) -> Mapping[str, float | None]:
    """Return the correlation without each scenario's sets, by the scenario that is left out."""
    found: dict[str, float | None] = {}
    for name in dict.fromkeys(scenarios):
        kept = [n for n, other in enumerate(scenarios) if other != name]
        found[name] = spearman([scores[n] for n in kept], [harm[n] for n in kept])
    return found


def _columns(values: Sequence[Sequence[float]]) -> Floats:
    lengths = {len(one) for one in values}
    if len(lengths) != 1 or min(lengths) < FEWEST:
        raise DataError(
            f"an ordering needs one value for each set, and {FEWEST} sets or more; given "
            f"{sorted(lengths)} values"
        )
    return np.asarray(values, dtype=np.float64)


def _resampled(columns: Floats, figure: Callable[[Floats], Floats], seed: int) -> Ends | None:
    """Return a figure of ``columns`` [values, sets] with its interval over sets.

    ``figure`` takes any number of leading dimensions and gives NaN where it cannot be told.
    """
    value, count = _told(figure(columns)), columns.shape[1]
    if value is None:
        return None
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    found = figure(columns[:, draws].swapaxes(0, 1))  # [resamples, values, sets]
    low, high = np.quantile(found[~np.isnan(found)], [0.025, 0.975])
    return Ends(value, float(low), float(high))


def _told(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)


def _ranked(values: Floats) -> Floats:
    # Only for who ranks data sets: a fine-tuning run reads this room's states, and no statistics.
    from scipy.stats import rankdata  # noqa: PLC0415

    return rankdata(values, axis=-1)


def _spearman(sets: Floats) -> Floats:
    """Return the correlation of the first two rows' ranks, shape [...] of [..., values, sets]."""
    ranks = _ranked(sets[..., :2, :])
    return _pearson(ranks[..., 0, :], ranks[..., 1, :])


def _partial(sets: Floats) -> Floats:
    ranks = _ranked(sets)
    others = ranks[..., 2:, :]
    design = np.concatenate([np.ones_like(others[..., :1, :]), others], axis=-2)
    weights = ranks[..., :2, :] @ np.linalg.pinv(design)  # [..., 2, 1 + others]
    left = ranks[..., :2, :] - weights @ design
    return _pearson(left[..., 0, :], left[..., 1, :])


def _auroc(sets: Floats, line: float) -> Floats:
    harmful = sets[..., 1, :] > line
    many, few = harmful.sum(-1), (~harmful).sum(-1)
    ranks = _ranked(sets[..., 0, :])
    above = np.where(harmful, ranks, 0.0).sum(-1) - many * (many + 1) / 2
    pairs = many * few
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def _pearson(left: Floats, right: Floats) -> Floats:
    left = left - left.mean(-1, keepdims=True)
    right = right - right.mean(-1, keepdims=True)
    size = np.sqrt((left * left).sum(-1) * (right * right).sum(-1))
    # Ranks are halves of whole numbers: what is constant is 0 but for rounding.
    return np.where(size < 1e-9, np.nan, (left * right).sum(-1) / np.maximum(size, 1e-9))
