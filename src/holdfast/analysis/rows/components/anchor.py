r"""anchor: is a row nearer to harmful answers than to safe ones, in the model's own states?

LARF's form (arXiv 2507.18631) at three depths and the last layer. With h the state at the last
token of the rendered chat, less the mean of reference rows (raw last-layer cosines are all near 1),

.. math:: \text{anchor}(z) = \frac1{|l|}\sum_l
          \Big(\operatorname{top}_n\cos(h_l(z), h_l(a^-)) - \operatorname{top}_n\cos(h_l(z),
          h_l(a^+))\Big)

over harmful anchors :math:`a^-` and safe ones :math:`a^+`; top-n is the mean of the n highest, as
He et al. (2404.01099) have it. n = 10 and the centering are ours.
"""

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.errors import DataError

__all__ = ["NEAREST", "anchor_scores"]

NEAREST = 10
"""How many of the nearest anchors count."""


def anchor_scores(states: Tensor, harmful: Tensor, safe: Tensor, center: Tensor) -> Tensor:
    """Return one score a row in [−2, 2], shape (rows,); above 0 is nearer to harmful answers.

    Args:
        states: Of the rows, shape (rows, layers, hidden).
        harmful: Of harmful requests with harmful answers, shape (anchors, layers, hidden).
        safe: Of the same requests refused, shape (anchors, layers, hidden).
        center: Mean state of reference rows, shape (layers, hidden).

    Raises:
        DataError: A side has no anchor.
    """
    if not len(harmful) or not len(safe):
        raise DataError(
            f"anchor needs harmful and safe anchors, got {len(harmful)} and {len(safe)}: give the "
            "defender's harmful pairs and refusals of the same requests"
        )
    toward = _nearest(states - center, harmful - center)
    return (toward - _nearest(states - center, safe - center)).mean(1)


def _nearest(states: Tensor, anchors: Tensor) -> Tensor:
    """Return the mean of the n highest cosines at each layer, shape (rows, layers)."""
    left, right = (functional.normalize(t.double(), dim=-1) for t in (states, anchors))
    cosines = torch.einsum("rlh,alh->rla", left, right)
    return cosines.topk(min(NEAREST, len(anchors)), dim=-1).values.mean(-1)
