r"""How far a model's logits are from those that it began with, in float32.

Logits are defined up to a constant per position: :math:`z` and :math:`z + c\mathbf 1` are the same
distribution. So raw logits are centered before they are compared; a KL divergence needs no care.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from holdfast.ops.anchors.references import Reference, masses

__all__ = ["DISTANCES", "Distance", "distance", "kl_divergence", "squared_distance"]

Distance = Literal["l2", "kl", "reverse_kl"]
"""``l2``: squared difference of centered logits; ``kl``: KL(start ‖ now), as in distillation;
``reverse_kl``: KL(now ‖ start), as a trust region has it."""
DISTANCES: tuple[Distance, ...] = get_args(Distance)


def distance(
    logits: Tensor, reference: Reference, kind: Distance, temperature: float = 1.0
) -> Tensor:
    r"""Return how far the logits are from the reference, a mean over answer tokens; 0 at the start.

    Where the reference holds each token's top k alone, it is a lower bound of the distance, equal
    to it at k = V: the squared distance leaves the other logits out (and still divides by V), the
    KL divergence takes their probability together as one outcome.

    Args:
        logits: Of the model as it is now, at the answer tokens, shape [N, V].
        reference: Of the same tokens, from the model as it began; no gradient flows into it.
        kind: One of ``DISTANCES``.
        temperature: T > 0 of a KL divergence, which is not multiplied by T². The reference of a
            top k must have been made at the same one. ``l2`` has none.
    """
    if kind == "l2":
        own = logits if reference.tokens is None else logits.gather(-1, reference.tokens)
        return squared_distance(own, reference.logits, logits.shape[-1])
    start = reference.logits.float() / temperature
    if reference.rest is not None:
        start = torch.cat([start, reference.rest.float()[:, None]], -1)
    now = masses(logits, reference.tokens, temperature)
    return kl_divergence(start, now) if kind == "kl" else kl_divergence(now, start)


def squared_distance(logits: Tensor, reference: Tensor, vocabulary: int | None = None) -> Tensor:
    r"""Return :math:`\frac1{NV}\sum_{n,v}(d_{nv} - \bar d_n)^2` with :math:`d = z_\theta - z_0`.

    Args:
        logits: :math:`z_\theta`, shape [N, K].
        reference: :math:`z_0`, the same shape.
        vocabulary: V to divide by; K without it.
    """
    apart = logits.float() - reference.float()
    apart = apart - apart.mean(-1, keepdim=True)
    return apart.square().sum() / (max(1, len(logits)) * (vocabulary or logits.shape[-1]))


def kl_divergence(of: Tensor, to: Tensor) -> Tensor:
    r"""Return the mean over rows of :math:`KL(\text{softmax}(p)\,\|\,\text{softmax}(q))`, in nats.

    Args:
        of: Logits of p, shape [N, K].
        to: Logits of q, the same shape.
    """
    p, q = of.float().log_softmax(-1), to.float().log_softmax(-1)
    return (p.exp() * (p - q)).sum() / max(1, len(of))
