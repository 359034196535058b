"""Freezing within one forward and backward: no gradient, no part in clipping, no Adam state.

An optimizer skips a tensor without a gradient, so its state starts anew at its first one. Exact by
construction: what the other tensors' gradients are does not depend on whether this one has one.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from functools import cache

from torch import nn

from holdfast.ops.modules import ref_of, trainable

__all__ = ["frozen_but", "trained_projections"]

_ref = cache(ref_of)  # Asked for every parameter in every micro-batch.


def trained_projections(model: nn.Module) -> set[tuple[int, str]]:
    """Return (layer, role) of each projection with a trained weight, bias or LoRA factor."""
    refs = (_ref(name) for name in trainable(model))
    return {(ref.layer, ref.role) for ref in refs if ref.role != "other"}


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
