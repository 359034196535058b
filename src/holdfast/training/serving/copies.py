"""No learned state that a checkpoint keeps may hold weights with something attached to them.

Beside the checkpoint's own weights, such a copy gives away what was attached: their difference. A
copy of bare weights from an earlier step differs from them by training alone, which in one tensor
may run along what is attached and over all of them does not: a field is judged as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from torch import Size, Tensor

from holdfast.artifact import split_state
from holdfast.defense import Defense, Run
from holdfast.errors import RunError
from holdfast.ops.engines.sharded import is_sharded
from holdfast.ops.gradients import Tensors
from holdfast.ops.roles.names import canonical
from holdfast.ops.weights import copied

__all__ = ["alike", "refuse_attached_copies"]

_LIMIT = 0.5
_SURE = 0.9
"""Limit for one tensor of several in a field: training alone came to 0.6 in one of 512 numbers."""
_SMALLEST = 64
"""Numbers that a tensor has at least: fewer may be alike by chance."""


def alike(one: Tensor, other: Tensor) -> float:
    """Return the size of the cosine of two tensors with as many entries, 0 where one is zero."""
    return abs(_cosine([one], [other]))


def refuse_attached_copies(run: Run, states: Sequence[tuple[Defense, Mapping[str, Any]]]) -> None:
    """Raise where a learned tensor that is not private is a copy of weights as they are attached.

    Raises:
        RunError: Names the defense and the field; nothing was written.
    """
    fields = [(defense, held) for defense, state in states for held in _fields(defense, state)]
    shapes = {tensor.shape for _, held in fields for tensor in held.values()}
    if not shapes:
        return
    weights, attached = _attached(run, shapes)
    for defense, held in fields:
        for path in _holding(held, weights, attached):
            raise RunError(
                f"{defense.card.name} keeps {path} with an attached vector in it, and a "
                "checkpoint would give the vector away; copy weights in `with run.bare():`, or "
                "name the field in `private`"
            )


def _fields(defense: Defense, state: Mapping[str, Any]) -> Iterator[Tensors]:
    """Yield the tensors of each public field, by their paths."""
    public = {name: value for name, value in state.items() if name not in defense.private}
    found = [
        (path, tensor)
        for path, tensor in split_state(public)[0].items()
        if tensor.numel() >= _SMALLEST and tensor.is_floating_point()
    ]
    for _, some in groupby(found, key=lambda pair: pair[0].partition("/")[0]):
        yield dict(some)


def _attached(run: Run, shapes: set[Size]) -> tuple[Tensors, Tensors]:
    """Return the bare weights that something is attached to, and what it is, on the CPU."""
    named = run.model.named_parameters()
    # Nothing is ever merged into sharded weights: a vector acts on them by hooks.
    params = {canonical(n): p.detach() for n, p in named if p.shape in shapes and not is_sharded(p)}
    inside = copied(params)
    with run.bare():
        bare = {n: p.to("cpu", copy=True) for n, p in params.items()}
    change = {n: inside[n].cpu() - p for n, p in bare.items()}
    return bare, {n: c for n, c in change.items() if bool(c.any())}


def _holding(held: Tensors, weights: Tensors, attached: Tensors) -> Iterator[str]:
    """Yield the paths of a field whose tensors hold what is attached."""
    named = {path: _name(path, tensor, attached) for path, tensor in held.items()}
    known = [path for path, name in named.items() if name]
    alone = {path: _share(held, weights, attached, [(path, named[path])]) for path in known}
    together = _share(held, weights, attached, [(path, named[path]) for path in known])
    if together > _LIMIT:
        yield max(known, key=lambda path: alone[path])
    yield from (path for path in known if alone[path] > _SURE)
    for path in (path for path, name in named.items() if not name):
        for name, change in attached.items():
            if change.shape == held[path].shape and _holds(held[path], weights[name], change):
                yield path


def _name(path: str, tensor: Tensor, attached: Tensors) -> str:
    """Return the parameter that a path is named after, ``""`` for none that has a change."""
    last = path.partition("/")[2]
    fits = (n for n in (last, f"{last}.weight") if n in attached)
    return next((n for n in fits if attached[n].shape == tensor.shape), "")


def _share(
    held: Tensors, weights: Tensors, attached: Tensors, pairs: Sequence[tuple[str, str]]
) -> float:
    """Return how far tensors, or what they have beyond the bare weights, are what is attached."""
    changes = [attached[name] for _, name in pairs]
    tensors = [held[path].cpu() for path, _ in pairs]
    beyond = [t - weights[name] for t, (_, name) in zip(tensors, pairs, strict=True)]
    return max(abs(_cosine(tensors, changes)), _cosine(beyond, changes))


def _holds(tensor: Tensor, weight: Tensor, change: Tensor) -> bool:
    """Tell it of a tensor of which nobody knows the weight that it might be a copy of."""
    beyond = tensor.cpu() - weight
    # Further from the weight than nothing at all is: no copy of it.
    is_copy = float(beyond.double().norm()) < float(weight.double().norm())
    return alike(tensor, change) > _LIMIT or (is_copy and _cosine([beyond], [change]) > _LIMIT)


def _cosine(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the cosine of two lists of tensors, each taken as one vector; 0 where one is zero."""
    product = left = right = 0.0
    for one, other in zip(ones, others, strict=True):
        a, b = (t.detach().cpu().flatten().double() for t in (one, other))
        product, left, right = product + float(a @ b), left + float(a @ a), right + float(b @ b)
    norms = (left * right) ** 0.5
    return product / norms if norms > 0 else 0.0
