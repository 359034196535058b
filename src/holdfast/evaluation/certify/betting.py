"""A bet against "the mean difference is above the limit": paired answers, exact at any number.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(arXiv 2010.09686). A capital of 1 is bet on each pair in turn::

    K_t = prod_{i <= t} (1 + stake (limit - d_i))        d_i in [-1, 1]: theirs - ours

Where the mean of ``d`` is ``limit`` or more, K is a supermartingale, and by Ville's inequality it
ever reaches ``1 / delta`` with probability ``delta`` at most: ``1 / max_t K_t`` is a p-value. The
stake may hang on anything but the pairs that are bet on; ours comes of other prompts.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError

__all__ = ["LARGEST", "betting_p", "stake_for"]

Floats: TypeAlias = NDArray[np.float64]
LARGEST = 0.5
"""Largest stake: with more, one pair that turns for the worse costs most of the capital; ours."""


def stake_for(limit: float, changing: float) -> float:
    """Return the stake that lets the capital grow most where nothing is lost in truth.

    Kelly's to second order, ``limit / (changing + limit^2)``, at most ``LARGEST``.

    Args:
        limit: Of the mean difference, in (0, 1).
        changing: Share of pairs that differ either way (the mean of ``d^2``), as known beforehand.

    Raises:
        InputError: The limit is no share above 0.
    """
    _check(limit)
    return min(LARGEST, limit / (max(changing, 0.0) + limit**2))


def betting_p(differences: Any, limit: float, stake: float) -> Floats:
    """Return the p-value against "the mean difference is above ``limit``".

    Args:
        differences: ``[..., n]`` in [-1, 1], in an order that was fixed beforehand.
        limit: Of the mean difference, in (0, 1).
        stake: In [0, ``LARGEST``], chosen without looking at ``differences``.

    Raises:
        InputError: A number is out of its range, or there is no pair.
    """
    table = np.asarray(differences, dtype=np.float64)
    _check(limit)
    if not table.size or not np.all(np.abs(table) <= 1):
        raise InputError("a bet needs differences in [-1, 1], at least one")
    if not 0 <= stake <= LARGEST:
        raise InputError(f"a stake of {stake} is out of range; expected 0 to {LARGEST}")
    grown = np.cumsum(np.log1p(stake * (limit - table)), axis=-1).max(axis=-1)
    return np.exp(-np.maximum(grown, 0.0))


def _check(limit: float) -> None:
    if not 0 < limit < 1:
        raise InputError(f"a limit of {limit} cannot be bet on; expected 0 < limit < 1")
