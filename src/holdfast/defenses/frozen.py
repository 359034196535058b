"""Freezing within one forward and backward: no gradient, no part in clipping, no Adam state.

An optimizer skips a tensor without a gradient, so its state starts anew at its first one. Exact by
construction: what the other tensors' gradients are does not depend on whether this one has one.
"""

from collections import Counter
from collections.abc import Collection, Generator
from contextlib import contextmanager
from functools import cache

from torch import nn

from holdfast.ops.modules import ref_of, trainable

__all__ = ["frozen_but", "trained_sizes"]

_ref = cache(ref_of)  # Asked for every parameter in every micro-batch.


def trained_sizes(model: nn.Module) -> Counter[tuple[int, str]]:
    """Return how many parameters of each trained projection learn, by (layer, role)."""
    sizes: Counter[tuple[int, str]] = Counter()
    for name, parameter in trainable(model).items():
        ref = _ref(name)
        if ref.role != "other":
            sizes[ref.layer, ref.role] += parameter.numel()
    return sizes


@contextmanager
def frozen_but(model: nn.Module, learning: Collection[tuple[int, str]]) -> Generator[None]:
    """Run the body with every trained tensor frozen that is not in ``learning``.

    Recomputed activations need no care: transformers makes the embeddings' output require gradients
    where it turns recomputing on, frozen embeddings or not.

    Args:
        model: The model, bare or with an adapter.
        learning: (layer, role) of the projections that keep their gradients.
    """
    held = [
        p
        for name, p in trainable(model).items()
        if (_ref(name).layer, _ref(name).role) not in learning
    ]
    try:
        for p in held:
            p.requires_grad_(False)
        yield
    finally:
        for p in held:
            p.requires_grad_(True)
