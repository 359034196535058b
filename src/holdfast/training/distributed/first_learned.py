"""What a defense has learned before step 0, rounded alike in every process: the first one's.

Each process learns by itself, from equal weights, rows and seeds. Kernels of a GPU may add up in
another order each time, so that two come to the same vector within a rounding, and a hash of it
would end the run. Where they are as near to each other as that, all take what the first has
learned. Where they are not, nothing is taken over, and the comparison behind it says so.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from holdfast.artifact import joined_state, split_state
from holdfast.defense import Defense
from holdfast.ops.engine import Engine
from holdfast.training.distributed.agreement import digest_of, gathered

__all__ = ["NEAR", "near", "take_from_the_first"]

NEAR = 0.05
"""Norm of a difference over that of the first one's, at most: roundings grow over the steps of a
training of its own, other rows or seeds give another direction, which is above 1. Ours."""


def take_from_the_first(
    engine: Engine, defenses: Sequence[Defense], say: Callable[[str], None]
) -> None:
    """Give every process the first one's learned state, where theirs is that but for roundings.

    Args:
        engine: The run's; every process calls this.
        defenses: Whose ``before`` has run, or whose state was read.
        say: Told where a state was replaced; an equal one is left as it is, and costs a hash.
    """
    if engine.world == 1:
        return
    device = next(engine.model.parameters()).device
    for defense in defenses:
        state = defense.state()
        if len({*gathered(digest_of(state, figures=True), device)}) == 1:
            continue
        tensors, rest = split_state(state)
        if any(isinstance(tensor, DTensor) for tensor in tensors.values()):
            continue  # Shards differ by their nature.
        theirs = _of_the_first(tensors, rest, device)
        apart = math.inf if theirs is None else _apart((tensors, rest), theirs)
        most = torch.tensor([apart], device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        if 0 < float(most) <= NEAR and theirs is not None:
            if engine.rank > 0:
                defense.load(joined_state(*theirs))
            say(
                f"{defense.card.name}: the processes have learned the same but for "
                f"{float(most):.1e} of it; all go on with what process 0 has learned"
            )


def near(own: Any, first: Any) -> bool:
    """Tell whether two JSON values are one but for roundings of their numbers."""
    if isinstance(first, float) and isinstance(own, int | float):
        return math.isclose(own, first, rel_tol=NEAR, abs_tol=1e-6) or own is first or (
            math.isnan(own) and math.isnan(first)
        )  # fmt: skip
    if isinstance(first, Mapping) and isinstance(own, Mapping):
        return own.keys() == first.keys() and all(near(own[k], first[k]) for k in first)
    if isinstance(first, list) and isinstance(own, list | tuple):
        return len(own) == len(first) and all(map(near, own, first))
    return type(own) is type(first) and own == first


def _apart(own: tuple[Mapping[str, Tensor], Any], first: tuple[Mapping[str, Tensor], Any]) -> float:
    """Return the largest relative distance of a tensor; ∞ where it is no rounding's."""
    if not near(own[1], first[1]):
        return math.inf
    most = 0.0 if own[1] == first[1] else torch.finfo(torch.float32).eps
    for name, tensor in first[0].items():
        if not torch.equal(own[0][name], tensor):
            if not tensor.is_floating_point():
                return math.inf
            gap = (own[0][name].double() - tensor.double()).norm()
            found = float(gap / tensor.double().norm())
            most = max(most, found) if math.isfinite(found) else math.inf
    return most


def _of_the_first(
    tensors: Mapping[str, Tensor], rest: Any, device: torch.device
) -> tuple[dict[str, Tensor], Any] | None:
    """Return the first process's state, None in all where one has tensors of other shapes."""
    shapes = {name: [str(t.dtype), *t.shape] for name, t in sorted(tensors.items())}
    told = _text_of_the_first(json.dumps([shapes, rest], default=str), device)
    their_shapes, their_rest = json.loads(told)
    alike = torch.tensor([int(their_shapes == shapes)], device=device)
    dist.all_reduce(alike, dist.ReduceOp.MIN)
    if not int(alike):
        return None
    found: dict[str, Tensor] = {}
    for name in shapes:
        there = tensors[name].to(device, copy=True)
        dist.broadcast(there, 0)
        found[name] = there.to(tensors[name].device)
    return found, their_rest


def _text_of_the_first(text: str, device: torch.device) -> str:
    own = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(device)
    size = torch.tensor([len(own)], device=device)
    dist.broadcast(size, 0)
    there = own if dist.get_rank() == 0 else own.new_empty(int(size))
    dist.broadcast(there, 0)
    return bytes(there.tolist()).decode()
