"""The roles of a model's projections, layers that are alike told once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.errors import ModelError
from holdfast.ops.modules import left_out, projections
from holdfast.ops.roles.parts import features

__all__ = ["Group", "Layers", "layers_of"]

ORDER = ("q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down")


@dataclass(frozen=True)
class Group:
    """Layers with the same projections."""

    layers: str
    """Their numbers, such as ``0–3, 8``."""
    roles: dict[str, str]
    """Role → ``in → out``, the sizes of its product."""


@dataclass(frozen=True)
class Layers:
    """What holdfast knows of the decoder layers."""

    groups: tuple[Group, ...]
    left_out: dict[str, int]
    """What belongs to no projection and no method touches, by kind → number of parameters."""
    why: str
    """Why there are no roles; "" where there are."""


def layers_of(model: Any) -> Layers:
    """Return the roles of every layer's projections, or why they are not known."""
    try:
        found = projections(model)
        kinds = left_out(model)
    except ModelError as error:
        return Layers((), {}, str(error))
    by_layer: dict[int, dict[str, str]] = {}
    for ref, module in found.items():
        outer, inner = features(module)
        by_layer.setdefault(ref.layer, {})[ref.role] = f"{inner} → {outer}"
    by_layer = {layer: _ordered(roles) for layer, roles in by_layer.items()}
    alike: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for number, roles in by_layer.items():
        alike.setdefault(tuple(roles.items()), []).append(number)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    counts: dict[str, int] = {}
    for name, kind in kinds.items():
        counts[kind] = counts.get(kind, 0) + sizes.get(name, 0)
    groups = tuple(Group(_ranges(numbers), dict(roles)) for roles, numbers in alike.items())
    return Layers(groups, counts, "")


def _ordered(roles: Mapping[str, str]) -> dict[str, str]:
    """Return the roles in the order in which a layer uses them; others by name, behind these."""
    places = {role: n for n, role in enumerate(ORDER)}
    return dict(sorted(roles.items(), key=lambda pair: (places.get(pair[0], len(ORDER)), pair)))


def _ranges(numbers: Iterable[int]) -> str:
    """Return sorted numbers with runs drawn together."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
