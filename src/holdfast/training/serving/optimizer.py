"""Optimizers with modes: a schedule-free one keeps other weights in training than it serves."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn

from holdfast.ops.weights import copied, put

__all__ = ["in_evaluation", "unwrapped"]


def unwrapped(optimizer: Any) -> Any:
    """Return the optimizer inside accelerate's wrapper; what is none of these comes back as is."""
    while isinstance(optimizer, AcceleratedOptimizer):
        optimizer = optimizer.optimizer
    return optimizer


@contextmanager
def in_evaluation(optimizer: Any, params: Mapping[str, nn.Parameter]) -> Generator[None]:
    """Run the body with an optimizer that has ``eval()`` and ``train()`` in its evaluation mode.

    The weights of training come back bit for bit where the body has left them alone, so that
    serving a model in between never moves a run. An optimizer without modes is left alone.
    """
    if not all(callable(getattr(optimizer, mode, None)) for mode in ("eval", "train")):
        yield
        return
    kept = copied(params)
    optimizer.eval()
    evaluated = copied(params)
    try:
        yield
    finally:
        same = [n for n, p in params.items() if torch.equal(p, evaluated[n])]
        optimizer.train()
        put(params, {name: kept[name] for name in same})
