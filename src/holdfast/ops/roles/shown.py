"""Roles of a model type that the table does not know: shown by the live model, or refused."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from holdfast.errors import ModelError
from holdfast.ops.recompute import inference_mode_flags
from holdfast.ops.roles.flow import Layer, entering, flow_rows, fused_role, rows_by_flow
from holdfast.ops.roles.names import kind_left_out, learn, plain_name
from holdfast.ops.roles.parts import LINEAR, features
from holdfast.ops.roles.table import FUSED

__all__ = ["shown_roles", "shown_rows", "stand_in"]

SAMPLE = 64
"""Rows of each projection that are looked at for its role; ours."""
_FAULTS = (TypeError, ValueError, RuntimeError, KeyError, IndexError, AttributeError)
"""What a stranger's layer raises when it is run in a way that it was not made for."""
_Sizes = tuple[tuple[str, int, int], ...]
"""(path, rows, columns) of each projection of a layer."""
_Shape = tuple[str, _Sizes]
"""(configuration as JSON, the sizes of a layer)."""
_SHOWN: dict[_Shape, dict[str, str]] = {}
_ROWS: dict[tuple[_Shape, str], dict[str, Tensor]] = {}
_STAND_INS: WeakKeyDictionary[nn.Module, tuple[nn.Module, Sequence[nn.Module]]] = (
    WeakKeyDictionary()
)


def shown_roles(model: nn.Module, kind: str, layers: Sequence[nn.Module]) -> None:
    """Look at each different layer of the model and remember the roles that its data flow shows.

    Raises:
        ModelError: A layer does not show its roles; the message names the type, layer and module.
    """
    for number, layer in enumerate(layers):
        shape = _shape(model, layer)
        if shape not in _SHOWN:
            with _looked_at(model, layers, number, kind) as seen:
                _SHOWN[shape] = _roles(kind, number, seen)
        learn(_SHOWN[shape])


def shown_rows(
    model: nn.Module, kind: str, layers: Sequence[nn.Module], number: int, path: str
) -> dict[str, Tensor]:
    """Return which rows of a fused projection belong to which part, every row looked at."""
    key = _shape(model, layers[number]), path
    if key not in _ROWS:
        with _looked_at(model, layers, number, kind) as seen:
            _ROWS[key] = flow_rows(seen, path)
    return _ROWS[key]


def stand_in(model: nn.Module, other: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Have another model show the roles of ``model``, whose weights are on the ``meta`` device.

    Args:
        model: The model without values.
        other: One of the same type and flags with values, of fewer layers.
        layers: The decoder layers of ``other``.
    """
    _STAND_INS[model] = other, layers


@contextmanager
def _looked_at(
    model: nn.Module, layers: Sequence[nn.Module], number: int, kind: str
) -> Generator[Layer]:
    """Yield the layer with what enters it, or its twin in the model that stands in for this one."""
    if model in _STAND_INS:
        other, own = _STAND_INS[model]
        twins = [at for at, twin in enumerate(own) if _sizes(twin) == _sizes(layers[number])]
        model, layers, number = (other, own, twins[0]) if twins else (model, layers, number)
    entered, layer = _entered(model, layers, kind)[number], layers[number]
    with inference_mode_flags(model):
        yield Layer(layer, *entered, _hooked(layer))


def _projections(layer: nn.Module) -> dict[str, nn.Module]:
    """Return the layer's linear modules by path, bare or inside an adapter, without routers."""
    found = {
        plain_name(name): module
        for name, module in layer.named_modules()
        if isinstance(module, LINEAR) and "lora_" not in name
    }
    return {path: module for path, module in found.items() if kind_left_out(path) is None}


def _hooked(layer: nn.Module) -> dict[str, nn.Module]:
    """Return the same by path, an adapter's layer in the place of the one that it wraps."""
    outer = {plain_name(name): module for name, module in reversed([*layer.named_modules()])}
    return {path: outer[path] for path in _projections(layer)}


def _shape(model: nn.Module, layer: nn.Module) -> _Shape:
    config: Any = getattr(model, "config", None)  # Flags of it may lay the same rows another way.
    said = config.to_json_string() if hasattr(config, "to_json_string") else str(config)
    return said, _sizes(layer)


def _sizes(layer: nn.Module) -> _Sizes:
    return tuple((path, *features(m)) for path, m in sorted(_projections(layer).items()))


def _entered(
    model: nn.Module, layers: Sequence[nn.Module], kind: str
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    try:
        with inference_mode_flags(model):
            return entering(model, layers, lambda ids: model(input_ids=ids, use_cache=False))
    except _FAULTS as error:
        raise ModelError(
            f"architecture {kind!r} is not in holdfast's table of names, and two tokens cannot be "
            f"run through it to see what its projections do ({error})"
        ) from error


def _roles(kind: str, number: int, layer: Layer) -> dict[str, str]:
    refused = (
        f"architecture {kind!r} is not in holdfast's table of names, and layer {number} does not "
        "show the roles of its projections"
    )
    way_out = "add its names to holdfast.ops.roles.table, or use a method that needs no roles"
    try:
        signs = rows_by_flow(layer, SAMPLE)
    except (ModelError, *_FAULTS) as error:
        raise ModelError(f"{refused}: {error}; {way_out}") from error
    roles: Mapping[str, str | None] = {path: fused_role(rows) for path, rows in signs.items()}
    for path, role in roles.items():
        single = [role, *FUSED.get(role or "", ())]
        twice = [p for p, other in roles.items() if p != path and other in single]
        if role is None or twice:
            why = "has rows of several roles" if role is None else f"has the role of {twice[0]!r}"
            raise ModelError(f"{refused}: its projection {path!r} {why}; {way_out}")
    return {path: str(role) for path, role in roles.items()}
