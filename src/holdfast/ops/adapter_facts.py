"""What the adapters of a model *are*, module by module, read from the live layers.

A method that reads or edits LoRA factors is exact on some kinds of adapter alone: DoRA rescales the
weight, PiSSA moves the base, ``modules_to_save`` replaces a whole module. An option's name tells
little of that, so the layers themselves are asked, by what every PEFT layer has.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from holdfast.errors import ModelError
from holdfast.files.adapters import KEPT_BASE
from holdfast.ops.modules import plain_name, trainable
from holdfast.ops.roles.parts import LINEAR

__all__ = [
    "Adaptation", "AdapterKind", "active_adapters", "active_parameters", "adaptations",
    "require_kinds",
]  # fmt: skip


class AdapterKind(StrEnum):
    """What one adapter does to one module."""

    LORA = "plain LoRA"
    LORA_BIAS = "LoRA with a bias of its own (lora_bias=True)"
    DORA = "DoRA"
    VARIANT = "a variant of LoRA"
    MOVED_BASE = "LoRA whose initialization changed the base weights (PiSSA, OLoRA, …)"
    OTHER_LORA = "LoRA of something else than a linear layer"
    BASE_BIASES = "the base's own biases, trained as well (bias=)"
    WHOLE = "a trained copy of a whole module (modules_to_save)"
    TOKENS = "trained rows of an embedding (trainable tokens)"
    OTHER = "an adapter of another type than LoRA"


@dataclass(frozen=True)
class Adaptation:
    """One adapter in one module."""

    module: str
    """The module's plain name."""
    adapter: str
    kind: AdapterKind
    active: bool
    """The forward pass goes through it."""
    merged: bool
    """Its change stands in the base weights, and its own tensors have no effect."""
    parameters: tuple[nn.Parameter, ...]
    """Its own tensors."""


def adaptations(model: nn.Module) -> list[Adaptation]:
    """Return what each adapter does to each module; an empty list where there is none."""
    configs = _configs(model)
    found = [
        fact
        for name, module in model.named_modules()
        for fact in _of_module(plain_name(name), module, configs)
    ]
    # The layers say what is switched on: a model that PEFT injected into says nothing of it.
    active = {fact.adapter for fact in found if fact.active}
    return [*found, *_beside(model, configs, active)] if configs else found


def active_adapters(model: nn.Module) -> list[str]:
    """Return the names of the adapters that the forward pass goes through; none of a bare model.

    Raises:
        ModelError: The model has adapters, and none is active or an active one is merged.
    """
    facts = adaptations(model)
    active = sorted({fact.adapter for fact in facts if fact.active})
    if facts and not active:
        every = ", ".join(sorted({fact.adapter for fact in facts}))
        raise ModelError(
            f"of the model's adapters ({every}) none is active, so an edit of them changes "
            "nothing: choose one with model.set_adapter(NAME) and switch adapters on"
        )
    merged = [fact.module for fact in facts if fact.merged]
    if merged:
        raise ModelError(
            f"an adapter is merged into {merged[0]}, so an edit of its own tensors changes "
            "nothing: take it out with model.unmerge_adapter(), or merge for good with "
            "merge_and_unload()"
        )
    return active


def active_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the tensors of the active adapters by their names in the model."""
    own = {id(p) for fact in adaptations(model) if fact.active for p in fact.parameters}
    return {name: p for name, p in model.named_parameters() if id(p) in own}


def require_kinds(model: nn.Module, exact: Collection[AdapterKind], who: str) -> bool:
    """Tell whether the model has an active adapter; all of it is of the kinds in ``exact`` then.

    Args:
        model: The model that is trained or repaired.
        exact: The kinds on which the method is exact.
        who: The method, for the message.

    Raises:
        ModelError: A part of the adapter is of another kind, or beside it other weights are
            trained, or another adapter is active.
    """
    try:
        active = active_adapters(model)
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from None
    if not active:
        return False
    if len(active) > 1:
        raise ModelError(
            f"{who} edits one adapter, and {' and '.join(active)} are active: choose one with "
            "model.set_adapter(NAME), or merge the others into the base first"
        )
    adapter = active[0]
    facts = [fact for fact in adaptations(model) if fact.active]
    for fact in facts:
        if fact.kind not in exact:
            raise ModelError(
                f"{who} is not exact on this adapter: {fact.module or adapter!r} is "
                f"{fact.kind.value}, and it can edit {_words(exact)}; merge the adapter into its "
                "base first (merge_and_unload) and use the whole model, or tune with another one"
            )
    own = {id(p) for fact in facts for p in fact.parameters}
    beside = [name for name, p in trainable(model).items() if id(p) not in own]
    if beside:
        raise ModelError(
            f"{who} is not exact here: beside the adapter {adapter!r}, {beside[0]} is trained, so "
            "the model before tuning is not the one without the adapter; train the adapter alone"
        )
    return True


def _words(kinds: Collection[AdapterKind]) -> str:
    return " and ".join(kind.value for kind in sorted(kinds))


def _configs(model: nn.Module) -> dict[str, Any]:
    found: Any = getattr(model, "peft_config", None)
    return dict(found) if isinstance(found, dict) else {}


def _active_names(module: nn.Module) -> list[str]:
    """Return the active adapters of a PEFT layer or model, none where they are switched off."""
    names: Any = getattr(module, "active_adapters", ())
    names = names() if callable(names) else names
    off = bool(getattr(module, "disable_adapters", False) is True)
    return [] if off else [names] if isinstance(names, str) else list(names)


def _beside(
    model: nn.Module, configs: dict[str, Any], active: Collection[str]
) -> Iterator[Adaptation]:
    """Yield what an adapter has outside of its layers; ``active`` are those that layers have on."""
    # Prompt and prefix tuning change no module: PEFT keeps their tensors beside the model.
    prompts: Any = getattr(model, "prompt_encoder", None)
    for adapter, encoder in dict(prompts).items() if isinstance(prompts, nn.ModuleDict) else ():
        on, own = adapter in _active_names(model), tuple(encoder.parameters())
        yield Adaptation("", adapter, AdapterKind.OTHER, on, False, own)
    for adapter, config in configs.items():
        for name, p in _biases(model, getattr(config, "bias", "none")):
            kind = AdapterKind.BASE_BIASES
            yield Adaptation(plain_name(name), adapter, kind, adapter in active, False, (p,))


def _biases(model: nn.Module, which: str) -> list[tuple[str, nn.Parameter]]:
    """Return the biases of the base that PEFT trains and saves with an adapter."""
    every = [
        (n, p) for n, p in model.named_parameters() if n.endswith(".bias") and ".lora_" not in n
    ]
    if which == "all":
        return every
    return [(n, p) for n, p in every if ".base_layer." in n] if which == "lora_only" else []


def _of_module(name: str, module: nn.Module, configs: dict[str, Any]) -> Iterator[Adaptation]:
    # The class is asked: a PEFT wrapper's instance answers for the module that it wraps.
    layers: Any = getattr(type(module), "adapter_layer_names", None)
    if layers is None or any("." in layer for layer in layers):
        return  # The inner layer of such a wrapper is met on its own.
    tensors: dict[str, list[nn.Parameter]] = {}
    for layer in layers:
        held: Any = getattr(module, layer, None)
        for adapter, value in held.items() if hasattr(held, "items") else ():
            one = [value] if isinstance(value, nn.Parameter) else []
            own = list(value.parameters()) if isinstance(value, nn.Module) else one
            tensors.setdefault(str(adapter), []).extend(own)
    active = set(_active_names(module))
    into_base: Any = getattr(module, "merged_adapters", ())
    merged = {str(adapter) for adapter in into_base}
    for adapter, own in tensors.items():
        kind = _kind(module, adapter, configs.get(adapter))
        yield Adaptation(name, adapter, kind, adapter in active, adapter in merged, tuple(own))


def _kind(module: Any, adapter: str, config: Any) -> AdapterKind:
    layers = type(module).adapter_layer_names
    if "modules_to_save" in layers:
        return AdapterKind.WHOLE
    if "trainable_tokens_delta" in layers:
        return AdapterKind.TOKENS
    if "lora_B" not in layers:
        return AdapterKind.OTHER
    return _kind_of_lora(module, adapter, getattr(config, "init_lora_weights", True))


def _kind_of_lora(module: Any, adapter: str, start: Any) -> AdapterKind:
    if adapter in module.lora_magnitude_vector:
        return AdapterKind.DORA
    if module.lora_variant.get(adapter) is not None:
        return AdapterKind.VARIANT
    base = module.get_base_layer()
    # A transposed layer that is no Conv1D is somebody's own; a parameter wrapper holds experts.
    transposed = bool(getattr(module, "fan_in_fan_out", False)) != isinstance(base, Conv1D)
    odd = transposed or type(module).__name__ == "ParamWrapper"
    if adapter not in module.lora_B or odd or not isinstance(base, LINEAR):
        return AdapterKind.OTHER_LORA
    if isinstance(start, str) and start.lower() not in KEPT_BASE:
        return AdapterKind.MOVED_BASE
    biased = getattr(module.lora_B[adapter], "bias", None) is not None
    return AdapterKind.LORA_BIAS if biased else AdapterKind.LORA
