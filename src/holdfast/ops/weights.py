"""Weights moved and put back bit for bit: restored from a copy, never by subtraction."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from holdfast.errors import ModelError
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import Tensors

__all__ = ["copied", "put", "refuse_no_numbers", "shift", "shifted_weights"]


def copied(params: Mapping[str, nn.Parameter | Tensor]) -> Tensors:
    """Return detached clones of the parameters."""
    return {name: p.detach().clone() for name, p in params.items()}


@torch.no_grad()
def put(params: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Copy ``values`` into the parameters of the same names, in place."""
    for name, value in values.items():
        params[name].copy_(laid_out(value, params[name]))


@torch.no_grad()
def shift(params: Mapping[str, nn.Parameter], by: Mapping[str, Tensor], scale: float = 1.0) -> None:
    """Add ``scale * by`` to the parameters of the same names, in place."""
    for name, delta in by.items():
        params[name].add_(laid_out(delta, params[name]), alpha=scale)


@contextmanager
def shifted_weights(
    params: Mapping[str, nn.Parameter], by: Mapping[str, Tensor], scale: float = 1.0
) -> Generator[None]:
    """Run the body at ``w + scale * by``; then restore ``w`` bit for bit, on errors too."""
    moved = {name: params[name] for name in by}
    saved = copied(moved)
    try:
        shift(moved, by, scale)
        yield
    finally:
        put(moved, saved)


def refuse_no_numbers(name: str, weight: Tensor) -> None:
    """Raise ``ModelError`` where a weight holds NaN or infinite entries."""
    if not bool(torch.isfinite(weight.detach()).all()):
        raise ModelError(
            f"{name} holds entries that are no numbers (NaN or infinite), which no repair mends: "
            "training diverged, or the weights are too large for their type: give an earlier "
            "checkpoint"
        )
