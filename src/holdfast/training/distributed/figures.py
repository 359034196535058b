"""Figures of a micro-batch, which each process has its own of, as one figure of all."""

from collections.abc import Mapping
from typing import Any

import torch.distributed as dist

from holdfast.ops.engine import Engine

__all__ = ["averaged"]


def averaged(figures: Mapping[str, float], engine: Engine) -> dict[str, float]:
    """Return each figure's mean over the processes that have it; every process calls this."""
    if engine.world == 1:
        return dict(figures)
    every: list[Any] = [None] * engine.world
    dist.all_gather_object(every, dict(figures))
    found: dict[str, list[float]] = {}
    for own in every:
        for name, value in own.items():
            found.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in found.items()}
