"""The ``learning_rate`` hook: optimizer groups per schedule, one scheduler that keeps its shape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from holdfast.errors import ConfigError
from holdfast.ops.modules import ModuleRef, canonical, ref_of

__all__ = [
    "Multipliers", "layers_by_role", "named", "rates", "runs", "scheduler_with", "split_groups",
]  # fmt: skip

Multipliers = tuple[float, ...]
"""One multiplier of the learning rate per optimizer step of the run."""
Schedule = Callable[[ModuleRef], Multipliers]


def split_groups(
    optimizer: torch.optim.Optimizer, model: nn.Module, schedule: Schedule
) -> list[Multipliers]:
    """Split each parameter group by what ``schedule`` says of its modules, in place.

    A group's own options (weight decay among them) stay; groups that need no split stay whole, so
    that a schedule of ones leaves the optimizer as it was. Of the parts of a group the one with the
    highest rates comes first: a trainer logs the first group's rate as *the* learning rate.

    Returns:
        The multipliers of each group of the optimizer, in its order.
    """
    refs = {p: ref_of(canonical(n)) for n, p in model.named_parameters()}
    trained = layers_by_role(refs[p] for g in optimizer.param_groups for p in g["params"])
    groups: list[dict[str, object]] = []
    multipliers: list[Multipliers] = []
    for group in optimizer.param_groups:
        parts: dict[Multipliers, list[nn.Parameter]] = {}
        for p in group["params"]:
            parts.setdefault(schedule(refs[p]), []).append(p)
        for key, params in sorted(parts.items(), key=lambda part: -sum(part[0])):
            roles = named(layers_by_role(refs[p] for p in params), trained)
            groups.append({**group, "params": params, "roles": "+".join(roles)})
            multipliers.append(key)
        if not parts:
            groups.append(group)
            multipliers.append(())
    optimizer.param_groups[:] = groups
    return multipliers


def layers_by_role(refs: Iterable[ModuleRef]) -> dict[str, set[int]]:
    """Return the layers in which each role occurs."""
    found: dict[str, set[int]] = {}
    for ref in refs:
        found.setdefault(ref.role, set()).add(ref.layer)
    return found


def named(chosen: Mapping[str, set[int]], every: Mapping[str, set[int]]) -> list[str]:
    """Return the roles in order, with their layers where those are not all: ``k``, ``q[0,2-3]``."""
    whole = {role for role in chosen if role == "other" or chosen[role] == every[role]}
    return [r if r in whole else f"{r}[{runs(sorted(chosen[r]))}]" for r in sorted(chosen)]


def runs(layers: Sequence[int]) -> str:
    """Write ascending numbers with runs of neighbors joined: ``0,2-3``."""
    runs = groupby(enumerate(layers), key=lambda pair: pair[1] - pair[0])
    ends = [[number for _, number in run] for _, run in runs]
    return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in ends)


def scheduler_with(base: LRScheduler, multipliers: Sequence[Multipliers]) -> LRScheduler:
    """Return a scheduler with the base's shape times each group's multipliers.

    Raises:
        ConfigError: The base is not a function of the step alone (``ReduceLROnPlateau`` is not).
    """
    if not isinstance(base, LambdaLR):
        raise ConfigError(
            f"a defense sets learning rates per module, which needs a schedule that is a function "
            f"of the step; {type(base).__name__} is not (use linear, cosine, constant, …)"
        )

    def rated(shape: Callable[[int], float], steps: Multipliers) -> Callable[[int], float]:
        return lambda step: shape(step) * (steps[min(step, len(steps) - 1)] if steps else 1.0)

    shapes = [rated(s, m) for s, m in zip(base.lr_lambdas, multipliers, strict=True)]
    return LambdaLR(base.optimizer, shapes)


def rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the current learning rate of every group, keyed by its number and modules."""
    return {
        f"learning_rate/{i}:{group.get('roles', 'all')}": float(group["lr"])
        for i, group in enumerate(optimizer.param_groups)
    }
