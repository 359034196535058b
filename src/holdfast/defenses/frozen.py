"""Freezing within one forward and backward: no gradient, no part in clipping, no Adam state.

An optimizer skips a tensor without a gradient, so its state starts anew at its first one. Exact by
construction: what the other tensors' gradients are does not depend on whether this one has one.
"""

from collections import Counter
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary, ref

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
    held = _held(model, frozenset(learning))
    try:
        for p in held:
            p.requires_grad_(False)
        yield
    finally:
        for p in held:
            p.requires_grad_(True)


@dataclass(frozen=True)
class _Walk:
    """What a walk through the modules has found: to look whether it still holds takes a sixth.

    Weak, so that a model that nobody else has is gone.
    """

    learning: frozenset[tuple[int, str]]
    seen: list[tuple[ref[nn.Module], str, ref[nn.Parameter], bool]]
    """Module, its name of the parameter, the parameter, and whether it was trained."""
    held: list[ref[nn.Parameter]]

    def holds(self) -> bool:
        """Tell whether each parameter is where it was and trained as it was.

        One that has come since is in no optimizer, which has had its parameters from the start.
        """
        for module, name, parameter, trained in self.seen:
            there, known = getattr(module(), name, None), parameter()
            if there is None or there is not known or there.requires_grad != trained:
                return False
        return True


_WALKS: WeakKeyDictionary[nn.Module, _Walk] = WeakKeyDictionary()


def _held(model: nn.Module, learning: frozenset[tuple[int, str]]) -> list[nn.Parameter]:
    """Return the trained parameters outside ``learning``, by the last walk where that holds."""
    walk = _WALKS.get(model)
    if walk is None or walk.learning != learning or not walk.holds():
        walk = _WALKS[model] = _walked(model, learning)
    return [p for one in walk.held if (p := one()) is not None]


def _walked(model: nn.Module, learning: frozenset[tuple[int, str]]) -> _Walk:
    held = [
        ref(p)
        for name, p in trainable(model).items()
        if (_ref(name).layer, _ref(name).role) not in learning
    ]
    seen = [
        (ref(module), name, ref(p), p.requires_grad)
        for module in model.modules()
        for name, p in module.named_parameters(recurse=False)
    ]
    return _Walk(learning, seen, held)
