"""Which module is which: (layer, role) of every projection, and names that survive wrapping.

Roles: ``q k v o gate up down``, and ``qkv`` or ``gate_up`` where an architecture fuses them; more
stand in ``roles.table``. Types in the table are read by name against the live module tree; another
type has to show what its projections do (``roles.flow``). What neither knows is refused by name.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from holdfast.errors import ModelError
from holdfast.ops.roles.layouts import layout_of, rows_of
from holdfast.ops.roles.names import (
    ModuleRef,
    canonical,
    kind_left_out,
    place_of,
    plain_name,
    ref_of,
)
from holdfast.ops.roles.parts import LINEAR, Linear, Part, features
from holdfast.ops.roles.shown import shown_roles, shown_rows
from holdfast.ops.roles.table import ARCHITECTURES, ATTENTION_ROLES, FUSED

__all__ = [
    "ATTENTION_ROLES", "ModuleRef", "attentions", "canonical", "decoder_layers", "left_out",
    "linears", "parts", "plain_name", "projections", "ref_of", "trainable",
]  # fmt: skip


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training changes, by canonical name, in the model's order."""
    return {canonical(n): p for n, p in model.named_parameters() if p.requires_grad}


def projections(model: nn.Module) -> dict[ModuleRef, Linear]:
    """Return every projection of the decoder layers with its (layer, role), fused ones whole.

    Routers and routed experts of a mixture are none; ``left_out`` names them.

    Args:
        model: A Hugging Face causal LM, bare or inside PEFT or another wrapper.

    Raises:
        ModelError: A linear layer in it has no known role, or shares it with another one, or no
            layer has a linear projection (some quantized ones are of another class).
    """
    kind = _kind(model)
    live = linears(model)
    if kind not in ARCHITECTURES and live:
        shown_roles(model, kind, decoder_layers(model))
    elif kind not in ARCHITECTURES:
        raise ModelError(
            f"architecture {kind!r} is not one that holdfast knows by role, and it has no linear "
            "layers to show their roles; give a causal language model of decoder layers"
        )
    found = {ref_of(name): module for name, module in live.items()}
    if not found:
        raise ModelError(
            f"the decoder layers of this {kind!r} model hold no torch.nn.Linear; give a model "
            "whose projections are not quantized or replaced"
        )
    _check_roles(kind, list(found))
    return dict(sorted(found.items()))


def parts(model: nn.Module) -> dict[ModuleRef, Part]:
    """Return every projection by its (layer, role), fused ones as the parts that they hold.

    Raises:
        ModelError: As ``projections``, or how a fused projection lies is not known.
    """
    found: dict[ModuleRef, Part] = {}
    for ref, module in projections(model).items():
        if ref.role not in FUSED:
            found[ref] = Part(module)
            continue
        for role, rows in _fused_rows(model, ref, module).items():
            found[ModuleRef(ref.layer, role, f"{ref.name}[{role}]")] = Part(module, rows)
    _check_roles(_kind(model), list(found))
    return dict(sorted(found.items()))


def left_out(model: nn.Module) -> dict[str, str]:
    """Return what of the decoder layers belongs to no projection: plain parameter name → kind.

    Raises:
        ModelError: As ``projections``, or a matrix is neither of a projection nor of a known kind.
    """
    held = {f"{ref.name}{end}" for ref in projections(model) for end in (".weight", ".bias")}
    found: dict[str, str] = {}
    for name, p in _bare_parameters(model):
        if name not in held:
            path = place_of(name)[1]
            kind = kind_left_out(path) or ("norm, bias or other vector" if p.dim() < 2 else None)
            if kind is None:
                raise ModelError(
                    f"parameter {name!r} of {_kind(model)!r} has shape {tuple(p.shape)} and no "
                    "role that holdfast knows; add it to holdfast.ops.roles.table"
                )
            found[name] = kind
    return found


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """Return the decoder layers in their order, bare or inside PEFT.

    Raises:
        ModelError: There are none where holdfast looks for them.
    """
    found = {
        layer: module
        for name, module in model.named_modules()
        for layer, path in (place_of(name),)
        if layer >= 0 and not path
    }
    if not found or sorted(found) != list(range(len(found))):
        said = f"{type(model).__name__} has no decoder layers under layers, h or blocks"
        raise ModelError(f"{said}; add its layout to holdfast.ops.roles.names")
    return [found[number] for number in sorted(found)]


def attentions(model: nn.Module) -> list[nn.Module]:
    """Return each decoder layer's attention, the module around its output projection.

    Raises:
        ModelError: As ``projections`` and ``decoder_layers``, or a layer has no attention.
    """
    holders = {
        ref.layer: ref.name.rpartition(".")[0] for ref in projections(model) if ref.role == "o"
    }
    modules = {plain_name(name): module for name, module in model.named_modules()}
    count = len(decoder_layers(model))
    found = [modules.get(holders[n]) if n in holders else None for n in range(count)]
    if None in found:
        raise ModelError(
            f"layer {found.index(None)} of {type(model).__name__} has no attention with an output "
            "projection; add its layout to holdfast.ops.roles.table"
        )
    return [module for module in found if module is not None]


def _text_config(model: nn.Module) -> Any:
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _kind(model: nn.Module) -> str:
    """Return the type of the text model: of a multimodal one, of what is inside."""
    return str(getattr(_text_config(model), "model_type", "unknown"))


def linears(model: nn.Module) -> dict[str, Linear]:
    """Return the linear modules in the decoder layers by name, without routers and experts.

    Their roles are not asked for, so no model is refused.
    """
    found: dict[str, Linear] = {}
    for name, module in model.named_modules():
        if isinstance(module, LINEAR) and "lora_" not in name:
            layer, path = place_of(name)
            if layer >= 0 and kind_left_out(path) is None:
                found[name] = module
    return found


def _bare_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the decoder layers' own parameters by plain name, without those of adapters."""
    for name, p in model.named_parameters():
        if place_of(name)[0] >= 0 and "lora_" not in name:
            yield plain_name(name), p


def _check_roles(kind: str, refs: list[ModuleRef]) -> None:
    seen: dict[tuple[int, str], str] = {}
    for ref in refs:
        if ref.role == "other":
            needed = "this needs separate projections with known roles"
            raise ModelError(f"module {ref.name!r} of {kind!r} is unknown; {needed}")
        other = seen.setdefault((ref.layer, ref.role), ref.name)
        if other != ref.name:
            raise ModelError(
                f"modules {other!r} and {ref.name!r} of {kind!r} are both {ref.role!r} of layer "
                f"{ref.layer}; roles are told apart by layer and name"
            )


def _fused_rows(model: nn.Module, ref: ModuleRef, module: nn.Module) -> Any:
    kind, total = _kind(model), features(module)[0]
    layout = layout_of(kind, ref.role, _text_config(model), total)
    if layout is not None:
        return rows_of(layout, total, ref.name)
    if kind in ARCHITECTURES:
        raise ModelError(
            f"module {ref.name!r} of {kind!r} is fused in a way that stands in no layout; add it "
            "to holdfast.ops.roles.layouts"
        )
    path = place_of(ref.name)[1]
    return shown_rows(model, kind, decoder_layers(model), ref.layer, path)
