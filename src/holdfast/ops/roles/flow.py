r"""Roles proven by data flow: what an edited output of one projection reaches in its own layer.

A layer is run on the two tokens that enter it in a pass of the model, with the outputs of all other
projections held at their clean values, so that a change reaches only what reads it directly. Let
:math:`s_{ij}` be whether a change at token i reaches token j of what the reader takes in. Softmax
over one key is 1, so with causal attention, bit for bit::

    q:  s00 = 0, s01 = 0        k:  s00 = 0, s01 = 1
    v:  s00 = 1, s01 = 1        z:  s00 = 1, s01 = 0   (a gate on what attention returns)

What reaches the layer's output is a writer: ``o`` where one of its readers is v, else ``down``. Of
the two that ``down`` reads, ``up`` is the one it is linear in; ``gate`` goes through an activation.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import ModelError
from holdfast.ops.roles.table import FUSED

__all__ = ["Layer", "Pass", "entering", "flow_rows", "fused_role", "rows_by_flow"]

BATCH = 32
"""Rows that are looked at in one pass."""
_LINEAR = 1e-3
"""Curvature over slope below which an effect is called linear; rounding is far below."""
_SIGNS = {(False, False): "q", (False, True): "k", (True, True): "v", (True, False): "z"}


@dataclass(frozen=True)
class Layer:
    """A decoder layer with what enters it: two tokens, the same in every row of the batch."""

    module: nn.Module
    args: tuple[Any, ...]
    options: dict[str, Any]
    projections: Mapping[str, nn.Module]
    """Its projections by their path in the layer, each with the adapter around it."""


def entering(
    model: nn.Module, layers: Sequence[nn.Module], run: Callable[[Tensor], Any]
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return what enters each layer when ``run`` is given ``BATCH`` rows of two tokens.

    Raises:
        ModelError: The model's weights are not there to be run.
    """
    first = next(model.parameters())
    if first.is_meta:
        raise ModelError(
            f"the roles of {type(model).__name__} can only be shown by running it; load its weights"
        )
    seen: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    with ExitStack() as stack, torch.no_grad():
        for number, layer in enumerate(layers):

            def keep(_m: nn.Module, args: Any, options: dict[str, Any], at: int = number) -> None:
                seen[at] = args, dict(options)

            handle = layer.register_forward_pre_hook(keep, with_kwargs=True)
            stack.callback(handle.remove)
        run(torch.tensor([[5, 6]] * BATCH, device=first.device))
    return [seen[number] for number in range(len(layers))]


def rows_by_flow(layer: Layer, most: int | None = None) -> dict[str, list[str]]:
    """Return the role of each row of each projection, by the projection's path in the layer.

    Args:
        layer: The layer, on a model in ``eval``.
        most: Rows of each projection that are looked at, spread evenly; all where None.

    Raises:
        ModelError: What a projection does fits no role.
    """
    clean = _pass(layer, {})
    unused = [path for path in layer.projections if path not in clean.inputs]
    if unused:
        raise ModelError(f"its projection {unused[0]!r} is not called with one input")
    reach = {path: _readers(layer, clean, path) for path in layer.projections}
    writers = [path for path, found in reach.items() if "" in found]
    roles: dict[str, list[str]] = {}
    for writer in writers:
        readers = [path for path, found in reach.items() if found == {writer}]
        own = {path: _signs(layer, clean, path, writer, most) for path in readers}
        kinds = set().union(*own.values())
        attention = kinds >= {"q", "k", "v"}
        roles[writer] = ["o" if attention else "down"]
        roles |= own if attention else _dense(layer, clean, own, writer, most)
    strange = next((path for path in layer.projections if path not in roles), None)
    if strange is not None:
        raise ModelError(f"its projection {strange!r} fits no role by what its output reaches")
    if not writers or [r[0] for p, r in roles.items() if p in writers].count("o") != 1:
        raise ModelError("it has not one attention that queries, keys and values go into")
    return roles


def flow_rows(layer: Layer, path: str) -> dict[str, Tensor]:
    """Return which rows of a fused projection belong to which part."""
    signs = rows_by_flow(layer)[path]
    return {
        part: torch.tensor([row for row, sign in enumerate(signs) if sign == part])
        for part in dict.fromkeys(signs)
    }


def _dense(
    layer: Layer, clean: "Pass", own: Mapping[str, list[str]], writer: str, most: int | None
) -> dict[str, list[str]]:
    """Tell gate from up in a block that mixes no tokens."""
    if set().union(*own.values()) != {"z"}:
        raise ModelError(f"what {writer!r} reads mixes tokens in no way that attention does")
    rows = {path: clean.outputs[path].shape[-1] for path in own}
    if sum(rows.values()) == clean.inputs[writer].shape[-1]:
        return {path: ["up"] * len(signs) for path, signs in own.items()}
    return {path: _curved(layer, clean, path, writer, most) for path in own}


def _curved(layer: Layer, clean: "Pass", path: str, writer: str, most: int | None) -> list[str]:
    """Return, row by row, whether the writer's input is linear in it (up) or curved (gate)."""
    found: list[str] = []
    size = float(clean.outputs[path].abs().max()) * 4
    for rows in _chunks(clean.outputs[path].shape[-1], most):
        up, down = (
            _pass(layer, {path: _edit(clean.outputs[path], rows, 0, sign * size)}, clean)
            for sign in (1, -1)
        )
        here = clean.inputs[writer][:, 0].double()
        plus, minus = (p.inputs[writer][:, 0].double() - here for p in (up, down))
        curve, slope = (plus + minus).norm(dim=-1), (plus - minus).norm(dim=-1)
        gates = (curve > _LINEAR * slope).tolist()
        found += ["gate" if gate else "up" for gate in gates[: len(rows)]]
    return found


def _signs(layer: Layer, clean: "Pass", path: str, writer: str, most: int | None) -> list[str]:
    found: list[str] = []
    size = float(clean.outputs[path].abs().max()) + 1.0
    for rows in _chunks(clean.outputs[path].shape[-1], most):
        edited = _pass(layer, {path: _edit(clean.outputs[path], rows, 0, size)}, clean)
        moved = (edited.inputs[writer] != clean.inputs[writer]).any(dim=-1).tolist()
        found += [_SIGNS[here, later] for here, later in moved[: len(rows)]]
    return found


def _readers(layer: Layer, clean: "Pass", path: str) -> set[str]:
    """Return what reads the projection directly; the layer's own output is ``""``."""
    output = clean.outputs[path]
    noise = torch.randn(output.shape[1:], generator=torch.Generator().manual_seed(0))
    edit = output + noise.to(output) * (float(output.abs().max()) + 1.0)
    edited = _pass(layer, {path: edit}, clean)
    found = {p for p in layer.projections if not torch.equal(edited.inputs[p], clean.inputs[p])}
    return found | ({""} if not torch.equal(edited.output, clean.output) else set())


def _chunks(total: int, most: int | None) -> Generator[list[int]]:
    step = max(1, -(-total // most)) if most else 1
    rows = list(range(0, total, step))
    yield from (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))


def _edit(output: Tensor, rows: list[int], token: int, by: float) -> Tensor:
    """Return the output with one row moved in each element of the batch."""
    edited = output.clone()
    edited[torch.arange(len(rows)), token, torch.tensor(rows)] += by
    return edited


@dataclass(frozen=True)
class Pass:
    """What one run of a layer leaves: of each projection (batch, 2, width), and its output."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    output: Tensor


@torch.no_grad()
def _pass(layer: Layer, edits: Mapping[str, Tensor], clean: Pass | None = None) -> Pass:
    """Run the layer with outputs replaced: those in ``edits``, the others by their clean ones."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for path, module in layer.projections.items():

            def keep(_m: nn.Module, args: Any, output: Tensor, at: str = path) -> Tensor | None:
                shape = (BATCH, 2, -1)  # Some layers hand all tokens over as one list.
                # Copies: some layers add to what a projection returned in place.
                inputs[at], outputs[at] = args[0].reshape(shape), output.reshape(shape).clone()
                held = edits.get(at, clean.outputs[at] if clean is not None else None)
                return None if held is None else held.reshape(output.shape).clone()

            stack.callback(module.register_forward_hook(keep).remove)
        found = layer.module(*layer.args, **layer.options)
    return Pass(inputs, outputs, found[0] if isinstance(found, tuple | list) else found)


def fused_role(signs: Sequence[str]) -> str | None:
    """Return the role of a projection with rows of these roles; None where there is none."""
    kinds = set(signs)
    if len(kinds) == 1:
        return signs[0]
    if kinds == {"q", "z"}:  # The gate on what attention returns comes with q in some types.
        return "q"
    return next((role for role, parts in FUSED.items() if kinds == set(parts)), None)
