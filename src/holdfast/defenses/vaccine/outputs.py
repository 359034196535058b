"""Gradients at modules' outputs, and outputs moved, in the user's own passes only.

The extra passes of other defenses go through the engine, which puts the model in ``eval()``; those
are neither recorded nor moved, so a method beside this one still sees the model as it is.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import RunError
from holdfast.ops.gradients import Tensors

Output = Tensor | tuple[Any, ...]
"""What a module returns: hidden states (batch, tokens, hidden), or a tuple that starts with it."""


@contextmanager
def recorded_gradients(modules: Mapping[str, nn.Module]) -> Generator[Tensors]:
    """Fill a mapping with the loss's gradient at each module's output while the body runs.

    Shapes (batch, tokens, hidden), float32. A module that runs twice on the same rows (some losses
    take two forward passes) gets the sum: its output is one variable of the loss.
    """
    found: Tensors = {}

    def record(name: str, module: nn.Module, _inputs: Any, output: Output) -> Output | None:
        # A reentrant checkpoint's first forward has no graph; its recomputation comes here again.
        if not (module.training and torch.is_grad_enabled()):
            return None
        hidden = _hidden(output)
        if not hidden.requires_grad:  # Below the first trained tensor: a leaf of its own.
            hidden = hidden.detach().requires_grad_()
        hidden.register_hook(partial(_add, found, name))
        return _with_hidden(output, hidden)

    handles = [m.register_forward_hook(partial(record, name)) for name, m in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def moved_outputs(modules: Mapping[str, nn.Module], by: Tensors) -> Generator[None]:
    r"""Run the body with :math:`e \leftarrow e + \varepsilon` at each module's output.

    Args:
        modules: The modules by name.
        by: ε by the same names, in the shape of the output; a name without ε is left alone.

    Raises:
        RunError: An output has another shape than its ε: the body ran on other rows.
    """

    def move(name: str, module: nn.Module, _inputs: Any, output: Output) -> Output | None:
        if not module.training or name not in by:
            return None
        hidden, shift = _hidden(output), by[name]
        if hidden.shape != shift.shape:
            raise RunError(
                f"vaccine: the output of attention {name} has the shape {tuple(hidden.shape)} and "
                f"had {tuple(shift.shape)} in the first pass; both passes must see the same rows: "
                "use a trainer whose loss is a function of the batch alone"
            )
        return _with_hidden(output, hidden + shift.to(hidden))

    handles = [m.register_forward_hook(partial(move, name)) for name, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _add(found: Tensors, name: str, gradient: Tensor) -> None:
    part = gradient.detach().float()
    found[name] = found[name] + part if name in found else part


def _hidden(output: Output) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _with_hidden(output: Output, hidden: Tensor) -> Output:
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
