r"""What of a change of one linear layer is kept, and what makes up for it (arXiv 2505.12038).

A row d of a layer's change moves its outputs on the safety inputs X by :math:`\lVert dX\rVert^2
= \tfrac12 d\,H\,d^\top` with :math:`H = 2XX^\top`. With one entry held at :math:`\delta_m` and the
rest free, the least of it is :math:`\delta_m^2 / (2[H^{-1}]_{mm})`, at
:math:`\delta_m H^{-1}_{m,:} / [H^{-1}]_{mm}`.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Kept(NamedTuple):
    """What is left of a layer's change, and what of it is the user's own."""

    change: Tensor
    """What is added to W0, shape (out, in)."""
    mask: Tensor
    """M: the entries of ΔW that are kept, shape (out, in)."""


def damped(gram: Tensor, damping: float) -> Tensor:
    r"""Return :math:`H = 2XX^\top + d\cdot\text{mean}(\text{diag})\cdot I`.

    An input that is 0 in every row has no cost and would make H singular: its diagonal is set to 1,
    and the mean is that of the others, so that dead inputs damp nothing.

    Args:
        gram: :math:`XX^\top` over the safety rows' tokens, shape (in, in).
        damping: d; the paper's is 0.01.
    """
    h = 2 * gram.double()
    diagonal = h.diagonal()
    dead = diagonal == 0
    level = diagonal[~dead].mean() if not bool(dead.all()) else torch.zeros((), dtype=h.dtype)
    diagonal += torch.where(dead, torch.ones_like(diagonal), damping * level.to(h.device))
    return h


def keep_within(delta: Tensor, hessian: Tensor, s: float, *, compensate: bool = True) -> Kept:
    r"""Return :math:`M\odot\Delta W + (1-M)\odot\sum_{m\in M} C_m`, row by row.

    Entries are taken by :math:`2[H^{-1}]_{mm}`, the largest first: it is what an entry holds of
    :math:`\lVert\Delta W\rVert^2` for its cost :math:`\delta_m^2/(2[H^{-1}]_{mm})`. They are kept
    until the sum of the costs would exceed
    :math:`\varepsilon = s\cdot\text{mean}_m\,1/(2[H^{-1}]_{mm})`;
    :math:`C_m = \delta_m H^{-1}_{m,:}/[H^{-1}]_{mm}`.

    Args:
        delta: ΔW = W − W0, shape (out, in).
        hessian: H, shape (in, in), positive definite.
        s: Budget of each row; it weighs squares of δ. 0 keeps nothing but entries that are 0.
        compensate: False leaves the entries that are not kept at W0.
    """
    d = delta.to(hessian)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    own = inverse.diagonal()
    order = own.argsort(descending=True, stable=True)
    cost = d.square() / (2 * own)
    budget = s * (1 / (2 * own)).mean()
    mask = torch.zeros_like(d, dtype=torch.bool)
    mask[:, order] = cost[:, order].cumsum(1) <= budget
    kept = torch.where(mask, d, 0)
    rest = (kept / own) @ inverse if compensate else torch.zeros_like(d)
    return Kept(torch.where(mask, d, rest), mask)


def drift(change: Tensor, hessian: Tensor) -> float:
    r"""Return :math:`\tfrac12\sum_r d_r H d_r^\top`: how far outputs on the safety rows move."""
    d = change.to(hessian)
    return 0.5 * float(((d @ hessian) * d).sum())
