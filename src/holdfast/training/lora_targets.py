"""What a run trains unless more is named: the decoder's projections, and never a router.

PEFT's ``all-linear`` takes in the vision tower of a multimodal model, the router of a mixture and,
by target parameters, its experts. An adapter on a router or a tower is none that a user asked for;
whoever names a module gets it. Without an adapter a router stays frozen, so that no defense moves
it either.
"""

from dataclasses import replace
from typing import Any

from peft import LoraConfig
from peft.tuners.tuners_utils import _check_lora_target_modules_mamba  # type: ignore[reportPrivateUsage]
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import nn

from holdfast.errors import ModelError
from holdfast.ops.modules import linears, plain_name
from holdfast.ops.roles.names import in_tower, is_router, kind_left_out, place_of

__all__ = ["on_projections", "what_is_trained"]


def on_projections(config: LoraConfig, model: nn.Module) -> tuple[LoraConfig, list[str]]:
    """Return the adapter's configuration for this model, and what a user has to know of it.

    It is the one that was given unless it says ``all-linear`` and the model has a router, stacked
    experts or a tower.

    Raises:
        ModelError: No projection of the decoder is left for an adapter.
    """
    live = {plain_name(name): module for name, module in linears(model).items()}
    kinds, names = _kinds(model), sorted(live)
    refused = {leaf for leaf in map(_leaf, names) if not _is_taken(config, leaf, model)}
    refused |= {_leaf(name) for name, module in live.items() if _is_grouped(module)}
    if config.target_modules != "all-linear" or not (kinds or refused):
        return config, []
    kinds += [f"{leaf} (PEFT refuses it on this model type)" for leaf in sorted(refused)]
    names = [name for name in names if _leaf(name) not in refused]
    kept = [name for name in names if _is_kept(name.rpartition(".")[2], model)]
    if not kept:
        raise ModelError(
            f"{type(model).__name__} has no projection of decoder layers for an adapter without "
            f"{', '.join(kinds)}; tune all weights, or name modules in `lora_targets`"
        )
    notes = [
        f"the adapter is on the {len(kept)} projections of the decoder and not on: "
        f"{', '.join(kinds)}; to adapt those as well, name them in `lora_targets`"
    ]
    if len(kept) < len(names):
        leaves = sorted({name.rpartition(".")[2] for name in names if name not in kept})
        notes.append(
            f"PEFT takes {', '.join(leaves)} of this model type for its experts' names, so the "
            "dense and shared ones have no adapter either"
        )
    return replace(config, target_modules=set(kept)), notes


def what_is_trained(
    config: LoraConfig | None, model: nn.Module
) -> tuple[LoraConfig | None, list[str]]:
    """Return ``on_projections`` of an adapter; without one, freeze routers and say so."""
    if config is not None:
        return on_projections(config, model)
    routers = [
        p
        for name, p in model.named_parameters()
        if p.requires_grad and "lora_" not in name and is_router(name)
    ]
    for p in routers:
        p.requires_grad_(False)
    note = "the routers of this mixture of experts are frozen: no training and no repair moves them"
    return None, [note] if routers else []


def _kinds(model: nn.Module) -> list[str]:
    """Return what of the model all-linear would go to and is no projection of the decoder."""
    found: dict[str, None] = {}
    for name, _ in model.named_parameters():
        kind = "vision or audio tower" if in_tower(name) else kind_left_out(place_of(name)[1])
        if kind in ("vision or audio tower", "router", "routed experts"):
            found[kind] = None
    return list(found)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _is_taken(config: LoraConfig, leaf: str, model: nn.Module) -> bool:
    """Tell whether PEFT puts an adapter on a module of this name: on state-space models not all."""
    try:
        _check_lora_target_modules_mamba(config, model, leaf)
    except ValueError:
        return False
    return True


def _is_grouped(module: nn.Module) -> bool:
    """Tell whether its product is one per group of inputs: no adapter of PEFT's has that shape."""
    return getattr(module, "n_groups", 1) > 1


def _is_kept(leaf: str, model: Any) -> bool:
    """Tell whether PEFT leaves a module's name as it is, and makes no parameters of experts of it.

    Since transformers 5 stacks experts, PEFT reads the names that their projections once had as
    parameters of the stack, whatever module has such a name.
    """
    asked = LoraConfig(target_modules=[leaf])
    try:
        convert_peft_config_for_transformers(asked, model, None)
    except ValueError:  # It would need the other half of a fused stack.
        return False
    return leaf in (asked.target_modules or ())
