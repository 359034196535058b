"""How far two judges agree beyond chance: Cohen's kappa (Cohen 1960), with prompts resampled.

With the shares p of answers that both call alike, and q of those that would be alike by chance
(from how often each says yes)::

    kappa = (p - q) / (1 - q)

1 is full agreement, 0 what chance gives. Where both say the same of every answer, q is 1 and kappa
is not defined.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.resampling import bootstrap_weights

__all__ = ["LOW", "cohen_kappa", "kappa_over_prompts"]

LOW = 0.6
"""Below this two judges do not measure the same thing; Landis and Koch (1977) call .61 substantial.
"""
RESAMPLES = 2000
Counts: TypeAlias = NDArray[np.float64]
Pairs: TypeAlias = Sequence[tuple[bool, bool]]
"""What two judges say of each answer."""


def cohen_kappa(pairs: Pairs) -> float | None:
    """Return kappa of two judges' yes and no; None where it is not defined."""
    found = float(_kappa(_table(pairs)[None])[0])
    return None if np.isnan(found) else found


def kappa_over_prompts(prompts: Sequence[Pairs], seed: int = 0) -> Interval | None:
    """Return kappa over all answers with its percentile interval of 95 %; None: not defined.

    Prompts are resampled, each with all of its answers: answers to one prompt are alike. Resamples
    in which kappa is not defined are left out.

    Args:
        prompts: For each prompt what the two judges say of each answer to it.
        seed: Of the bootstrap's generator.
    """
    tables = np.stack([_table(pairs) for pairs in prompts]) if prompts else np.zeros((0, 4))
    value = float(_kappa(tables.sum(axis=0)[None])[0])
    if np.isnan(value):
        return None
    size = len(prompts)
    weights = bootstrap_weights(size, RESAMPLES, np.random.default_rng(seed))
    drawn = _kappa(np.rint(size * weights) @ tables)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _table(pairs: Pairs) -> Counts:
    """Return how often [both, first alone, second alone, neither] says yes."""
    cells = [(True, True), (True, False), (False, True), (False, False)]
    return np.array([sum(pair == cell for pair in pairs) for cell in cells], dtype=np.float64)


def _kappa(tables: Counts) -> Counts:
    """Return kappa of each row of ``tables`` [rows, 4]; NaN where it is not defined."""
    both, first, second, neither = tables.T
    n = both + first + second + neither
    # Whole numbers throughout: full agreement must give exactly 1, and 0 / 0 be seen as such.
    chance = (both + first) * (both + second) + (second + neither) * (first + neither)
    left = n * n - chance
    safe = np.where(left > 0, left, 1.0)
    return np.where(left > 0, (n * (both + neither) - chance) / safe, np.nan)
