"""Does a score order data sets by harm? Rank correlations whose unit is the data set.

Intervals resample whole sets (2,000 times, percentiles): rows and prompts of one set are no
independent evidence of how sets are ordered. A score that is the same for all sets orders nothing,
and has no correlation rather than 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

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
    return _pearson(rankdata(scores), rankdata(harm))


def partial_spearman(
    scores: Sequence[float], harm: Sequence[float], others: Sequence[Sequence[float]]
) -> float | None:
    """Return the correlation of both rankings after a linear fit to the others' rankings.

    Args:
        scores: One for each set.
        harm: HS of each set.
        others: Confounders, each one value for each set.
    """
    design = np.column_stack([np.ones(len(scores)), *(rankdata(one) for one in others)])
    left, right = (_residual(rankdata(values), design) for values in (scores, harm))
    return _pearson(left, right)


def auroc(scores: Sequence[float], harmful: Sequence[bool]) -> float | None:
    """Return the area under the ROC curve; None where all are of one kind."""
    if len(set(map(bool, harmful))) < 2:
        return None
    return float(roc_auc_score([bool(h) for h in harmful], list(scores)))


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

    def partial(sets: Floats) -> float | None:
        return partial_spearman(sets[0], sets[1], list(sets[2:]))  # type: ignore[arg-type]

    return Ordering(
        columns.shape[1],
        _resampled(columns, lambda sets: _pair(spearman, sets), seed),
        _resampled(columns, partial, seed) if len(others) else None,
        _resampled(columns, lambda sets: auroc(sets[0].tolist(), (sets[1] > line).tolist()), seed),
    )


def difference(
    ours: Sequence[float], theirs: Sequence[float], harm: Sequence[float], seed: int = 0
) -> Ends | None:
    """Return by how much the correlation of ``ours`` is above that of ``theirs``, over sets.

    A score that orders nothing counts as 0.

    Raises:
        DataError: As ``ordering``.
    """

    def gap(sets: Floats) -> float:
        left, right = (spearman(sets[n].tolist(), sets[2].tolist()) or 0.0 for n in (0, 1))
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


def _pair(of: Callable[..., float | None], sets: Floats) -> float | None:
    return of(sets[0].tolist(), sets[1].tolist())


def _columns(values: Sequence[Sequence[float]]) -> Floats:
    lengths = {len(one) for one in values}
    if len(lengths) != 1 or min(lengths) < FEWEST:
        raise DataError(
            f"an ordering needs one value for each set, and {FEWEST} sets or more; given "
            f"{sorted(lengths)} values"
        )
    return np.asarray(values, dtype=np.float64)


def _resampled(columns: Floats, figure: Callable[[Floats], float | None], seed: int) -> Ends | None:
    """Return a figure of ``columns`` [values, sets] with its interval over sets."""
    value = figure(columns)
    if value is None:
        return None
    rng, count = np.random.default_rng(seed), columns.shape[1]
    draws = (figure(columns[:, rng.integers(count, size=count)]) for _ in range(RESAMPLES))
    found = [draw for draw in draws if draw is not None]
    low, high = np.quantile(found, [0.025, 0.975])
    return Ends(value, float(low), float(high))


def _pearson(left: Floats, right: Floats) -> float | None:
    left, right = left - left.mean(), right - right.mean()
    size = float(np.sqrt((left @ left) * (right @ right)))
    # Ranks are halves of whole numbers: what is constant is 0 but for rounding.
    return None if size < 1e-9 else float(left @ right / size)


def _residual(values: Floats, design: Floats) -> Floats:
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
