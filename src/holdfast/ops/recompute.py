"""Activations recomputed in an extra pass, where the user's own pass recomputes them.

A layer of transformers recomputes in ``train()`` alone, and extra passes run in ``eval()``, so that
they draw no dropout. Without this they would need the memory that the user saves.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["inference_mode_flags", "recomputed", "recomputes"]


@contextmanager
def inference_mode_flags(model: nn.Module) -> Generator[None]:
    """Put every module in ``eval()`` for the body; then put each module's own flag back."""
    flags = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def recomputed(model: nn.Module) -> Generator[None]:
    """Run the body, forward and backward, with the layers recomputed that are so in training.

    Gradients are those without it, bit for bit: in ``eval()`` a layer is a function of its input.
    Hooks inside the layers must stay until the backward is over, for they run again.
    """
    layers = _recomputing_layers(model)
    before = [vars(m).get("forward") for m in layers]
    try:
        for m in layers:
            m.forward = partial(_recomputing, m, m.forward)
        yield
    finally:
        for m, own in zip(layers, before, strict=True):
            if own is None:
                del m.forward
            else:
                m.forward = own


def recomputes(model: nn.Module) -> bool:
    """Tell whether the user's own pass recomputes activations to save memory."""
    return bool(_recomputing_layers(model))


def _recomputing_layers(model: nn.Module) -> list[Any]:
    return [m for m in model.modules() if _recomputes(m)]


def _recomputes(module: Any) -> bool:
    if getattr(type(module), "gradient_checkpointing", None) is None:
        return False  # A model has the flag too, on the instance alone: its layers do the work.
    return module.gradient_checkpointing is True and not isinstance(module, nn.ModuleList)


def _recomputing(module: nn.Module, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # In train() the layer does it by itself, as the user asked for it.
    if module.training or not torch.is_grad_enabled():
        return own(*args, **kwargs)
    return checkpoint(partial(_in_eval, module, own), *args, use_reentrant=False, **kwargs)


def _in_eval(module: nn.Module, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run the layer without dropout, also when the backward comes after the flags are back."""
    with inference_mode_flags(module):
        return own(*args, **kwargs)
