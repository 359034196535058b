"""Hidden states of whole rows at several depths, and a model whose activations are moved."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.analysis.rows.components.tiles import Tile
from holdfast.errors import InputError
from holdfast.ops.engine import Engine
from holdfast.ops.modules import decoder_layers

__all__ = ["depths", "last_states", "moved"]


def depths(model: nn.Module) -> tuple[int, ...]:
    """Return the layers at a quarter, half and three quarters of the depth, and the last one.

    They are numbered from 0; a model of fewer than four layers has each of its layers once.
    """
    count = len(decoder_layers(model))
    quarters = {max(0, round(count * part / 4) - 1) for part in (1, 2, 3)}
    return tuple(sorted(quarters | {count - 1}))


@torch.no_grad()
def last_states(engine: Engine, tiles: Sequence[Tile], layers: Sequence[int]) -> list[Tensor]:
    """Return what these layers put out at each row's last token, tile by tile: one epoch.

    Args:
        engine: The engine of the model.
        tiles: What ``tiles_of`` returned.
        layers: Numbers of decoder layers, from 0.

    Returns:
        Of each tile, shape (rows, layers, hidden), float32 on the CPU.

    Raises:
        InputError: The model has no such layer.
    """
    live = _chosen(engine.model, layers)
    parts: list[Tensor] = []
    for tile in tiles:
        asked = {name: t for name, t in tile.batch.items() if name != "labels"}
        with _kept(live, tile.last) as found:
            engine.forward(asked)
        parts.append(torch.stack(found, dim=1))
    return parts


Where = Callable[[nn.Module, Tensor], Tensor | None]
"""Takes a layer and its output (batch, tokens, hidden); returns which tokens are moved, as a bool
tensor (batch, tokens), or None for none of them."""


@contextmanager
def moved(
    model: nn.Module, by: Mapping[int, Tensor], where: Where | None = None
) -> Generator[None]:
    r"""Run the body with :math:`h_l \leftarrow h_l + v_l` in each named layer.

    Every token is moved, or those that ``where`` names. The hooks stay for the whole body: where
    activations are recomputed, its backward has to be inside.
    """
    live = _chosen(model, tuple(by))
    with ExitStack() as stack:
        for layer, vector in zip(live, by.values(), strict=True):
            handle = layer.register_forward_hook(_adding(vector, where))
            stack.callback(handle.remove)
        yield


def _chosen(model: nn.Module, layers: Sequence[int]) -> list[nn.Module]:
    live = decoder_layers(model)
    wrong = next((n for n in layers if not 0 <= n < len(live)), None)
    if wrong is not None:
        raise InputError(f"`layers`: the model has layers 0 to {len(live) - 1}, not {wrong}")
    return [live[n] for n in layers]


@contextmanager
def _kept(layers: Sequence[nn.Module], last: Tensor) -> Generator[list[Tensor]]:
    """Collect (rows, hidden) at the last tokens from each layer while the body runs."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        rows = torch.arange(len(last), device=hidden.device)
        found.append(hidden[rows, last.to(hidden.device)].float().cpu())

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(keep).remove)
        yield found


def _adding(vector: Tensor, where: Where | None) -> Any:
    def add(module: nn.Module, _inputs: object, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        change = vector.to(hidden.device, hidden.dtype)
        if where is not None:
            chosen = where(module, hidden)
            if chosen is None:
                return None
            change = chosen.to(hidden.device)[..., None] * change
        changed = hidden + change
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return add
