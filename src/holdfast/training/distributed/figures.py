"""Figures of a micro-batch, which each process has its own of, as one figure of all."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist

from holdfast.defense.figures import Mean
from holdfast.ops.engine import Engine

__all__ = ["averaged"]


def averaged(figures: Mapping[str, float], engine: Engine) -> dict[str, float]:
    """Return each figure's mean over the processes that have it; every process calls this.

    A ``Mean`` counts as much as what it is a mean over.
    """
    if engine.world == 1:
        return {name: float(value) for name, value in figures.items()}
    every: list[Any] = [None] * engine.world
    weighed = {n: (float(v), v.weight if isinstance(v, Mean) else 1.0) for n, v in figures.items()}
    dist.all_gather_object(every, weighed)
    found: dict[str, list[tuple[float, float]]] = {}
    for own in every:
        for name, pair in own.items():
            found.setdefault(name, []).append(pair)
    return {name: _mean(pairs) for name, pairs in found.items()}


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the mean of values with their weights; all count alike where none has a weight."""
    counting = [pair for pair in pairs if pair[1]] or [(value, 1.0) for value, _ in pairs]
    return sum(v * w for v, w in counting) / sum(w for _, w in counting)
