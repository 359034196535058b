"""No learned state that a checkpoint keeps may hold weights with something attached to them.

Beside the checkpoint's own weights, such a copy gives away what was attached: their difference.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Size, Tensor

from holdfast.artifact import split_state
from holdfast.defense import Defense, Run
from holdfast.errors import RunError
from holdfast.ops.engines.sharded import is_sharded
from holdfast.ops.gradients import Tensors
from holdfast.ops.weights import copied

__all__ = ["alike", "refuse_attached_copies"]

_LIMIT = 0.5
_SMALLEST = 64
"""Numbers that a tensor has at least: fewer may be alike by chance."""


def alike(one: Tensor, other: Tensor) -> float:
    """Return the size of the cosine of two tensors with as many entries, 0 where one is zero."""
    a, b = (t.detach().flatten().double() for t in (one, other))
    norms = float(a.norm() * b.norm())
    return abs(float(a @ b.to(a.device))) / norms if norms > 0 else 0.0


def refuse_attached_copies(run: Run, states: Sequence[tuple[Defense, Mapping[str, Any]]]) -> None:
    """Raise where a learned tensor that is not private is a copy of weights as they are attached.

    Raises:
        RunError: Names the defense and the field; nothing was written.
    """
    suspects = [
        (defense, path, tensor)
        for defense, state in states
        for path, tensor in split_state(_public(defense, state))[0].items()
        if tensor.numel() >= _SMALLEST and tensor.is_floating_point()
    ]
    if not suspects:
        return
    weights, attached = _attached(run, {tensor.shape for _, _, tensor in suspects})
    for defense, path, tensor in suspects:
        for name, change in attached.items():
            if change.shape == tensor.shape and _holds(tensor, weights[name], change):
                raise RunError(
                    f"{defense.card.name} keeps {path} with an attached vector in it, and a "
                    "checkpoint would give the vector away; copy weights in `with run.bare():`, or "
                    "name the field in `private`"
                )


def _public(defense: Defense, state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name not in defense.private}


def _attached(run: Run, shapes: set[Size]) -> tuple[Tensors, Tensors]:
    """Return the bare weights that something is attached to, and what it is, on the CPU."""
    named = run.model.named_parameters()
    # Nothing is ever merged into sharded weights: a vector acts on them by hooks.
    params = {n: p.detach() for n, p in named if p.shape in shapes and not is_sharded(p)}
    inside = copied(params)
    with run.bare():
        bare = {n: p.to("cpu", copy=True) for n, p in params.items()}
    change = {n: inside[n].cpu() - p for n, p in bare.items()}
    return bare, {n: c for n, c in change.items() if bool(c.any())}


def _holds(tensor: Tensor, weight: Tensor, change: Tensor) -> bool:
    return max(alike(tensor, change), alike(tensor.cpu() - weight, change)) > _LIMIT
