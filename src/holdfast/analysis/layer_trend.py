"""Does a score rise or fall with depth? A rank correlation whose unit is the layer.

A layer's modules share what the layer is, so they are one observation of depth and not several:
resampled one by one they find a trend in 14 to 42 % of models that have none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.resampling import bootstrap_weights

__all__ = ["FEWEST_LAYERS", "layer_trend"]

FEWEST_LAYERS = 5
"""Four layers come in falling or rising order by chance once in twelve times: more than 5 %."""
RESAMPLES = 2000
ROUNDING = 1e-12
Array = NDArray[np.float64]


def layer_trend(layers: Sequence[int], scores: Sequence[float]) -> Interval:
    r"""Return Spearman's correlation of layer and score over modules, with its 95 % interval.

    The interval is the cluster bootstrap's: whole layers are drawn with replacement, each with all
    its modules. Percentiles are taken at Hesterberg's expanded level (2015, The American
    Statistician 69, section 4), since few layers' percentiles are too narrow::

        a = Phi(-sqrt(L / (L - 1)) t_{0.975, L - 1})   for L layers

    In simulated models without a trend (300 of each kind) an interval without 0 came in 0.7 to 5 %,
    with 5 to 32 layers and whatever a layer's modules had in common. A score that drifts from layer
    to layer as a random walk does is not without a trend in this sense.

    Args:
        layers: Layer of each module, at least ``FEWEST_LAYERS`` different ones.
        scores: Score of each module; not all equal.
    """
    at, found = np.asarray(layers), np.asarray(scores, dtype=np.float64)
    known, cluster = np.unique(at, return_inverse=True)
    count = len(known)
    rng = np.random.default_rng(0)
    drawn = _spearman(at, found, bootstrap_weights(count, RESAMPLES, rng)[:, cluster])
    t = float(stats.t.ppf(0.975, count - 1))
    tail = float(stats.norm.cdf(-np.sqrt(count / (count - 1)) * t))
    # A draw of one layer alone has no correlation; it says nothing.
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    whole = _spearman(at, found, np.ones((1, len(at))))
    return Interval(float(whole[0]), float(low), float(high))


def _spearman(first: NDArray[Any], second: NDArray[Any], weights: Array) -> Array:
    """Return the rank correlation under each row of ``weights`` [draws, modules].

    NaN where one side does not vary.
    """
    ours, theirs = (_centered_ranks(side, weights) for side in (first, second))
    spread = [(weights * ranks**2).sum(axis=1) for ranks in (ours, theirs)]
    size = np.sqrt(spread[0] * spread[1])
    product = (weights * ours * theirs).sum(axis=1)
    return np.divide(product, size, out=np.full(len(weights), np.nan), where=size > ROUNDING)


def _centered_ranks(values: NDArray[Any], weights: Array) -> Array:
    """Return ``[draws, modules]`` ranks less their mean; equal values share their middle rank."""
    known, group = np.unique(values, return_inverse=True)
    mass = weights @ np.eye(len(known))[group]
    ranks = (np.cumsum(mass, axis=1) - mass / 2)[:, group]
    mean = (weights * ranks).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    return ranks - mean
