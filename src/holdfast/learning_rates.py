"""The ``learning_rate`` hook: optimizer groups per schedule, one scheduler that keeps its shape."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from holdfast.errors import ConfigError
from holdfast.ops.modules import ModuleRef, canonical, ref_of

Multipliers = tuple[float, ...]
"""One multiplier of the learning rate per optimizer step of the run."""
Schedule = Callable[[ModuleRef], Multipliers]


def split_groups(
    optimizer: torch.optim.Optimizer, model: nn.Module, schedule: Schedule
) -> list[Multipliers]:
    """Split each parameter group by what ``schedule`` says of its modules, in place.

    A group's own options (weight decay among them) stay; groups that need no split stay whole, so
    that a schedule of ones leaves the optimizer as it was.

    Returns:
        The multipliers of each group of the optimizer, in its order.
    """
    names = {p: canonical(n) for n, p in model.named_parameters()}
    groups: list[dict[str, object]] = []
    multipliers: list[Multipliers] = []
    for group in optimizer.param_groups:
        parts: dict[Multipliers, list[nn.Parameter]] = {}
        for p in group["params"]:
            parts.setdefault(schedule(ref_of(names[p])), []).append(p)
        for key, params in parts.items():
            roles = sorted({ref_of(names[p]).role for p in params})
            groups.append({**group, "params": params, "roles": "+".join(roles)})
            multipliers.append(key)
        if not parts:
            groups.append(group)
            multipliers.append(())
    optimizer.param_groups[:] = groups
    return multipliers


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
    """Return the current learning rate of every group, keyed by its number and roles."""
    return {
        f"learning_rate/{i}:{group.get('roles', 'all')}": float(group["lr"])
        for i, group in enumerate(optimizer.param_groups)
    }
