r"""What fine-tuning did to the weights, and how far it moved the security features.

.. math:: \Delta W_m=W_m^{\text{tuned}}-W_m+\sum_a s_a B_aA_a

with the sum over the tuned model's active LoRA adapters (minus the base's own, where it has some).
Where only an adapter was trained the first two cancel to 0 and ΔW is s·BA itself, without the
rounding of a merge.
"""

import re
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.analysis.modules.perturbation import Probed
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.probing.suffix import at_last, whole_pass
from holdfast.errors import ModelError
from holdfast.ops.modules import decoder_layers, parts, plain_name, ref_of
from holdfast.ops.recompute import inference_mode_flags
from holdfast.ops.roles.parts import Part

__all__ = [
    "change_norms", "inside_outside", "movement", "projection_changes", "tuned_states",
    "weight_changes",
]  # fmt: skip

_SAVED = re.compile(r"\.modules_to_save\.[^.]+")


def weight_changes(base: nn.Module, tuned: nn.Module) -> Generator[tuple[str, Tensor]]:
    """Yield each weight's plain name and its change, float32 on the CPU; tied weights once.

    An adapter on one of two tied layers is a change of that layer alone, beside the weight's own.

    Args:
        base: The model before fine-tuning, bare or with an adapter.
        tuned: The model after it: full weights, or a PEFT model (around ``base`` itself too).

    Raises:
        ModelError: The two have other weights or shapes, are one and the same, or an adapter does
            more than add s·BA.
    """
    if base is tuned:
        raise ModelError(
            "the tuned model is the base model itself: keep or load a copy of the base"
        )
    ours, theirs = _parameters(base), _parameters(tuned)
    _check_same(ours, theirs)
    bare = getattr(tuned, "get_base_model", lambda: None)()
    before, after = _adapted({} if bare is base else base), _adapted(tuned)
    if lost := sorted((before.keys() | after.keys()) - ours.keys()):
        raise ModelError(
            f"an adapter changes {lost[0]}, and the base has no weight of that name, so its change "
            "would be left out; merge it (merge_and_unload) and give the merged model"
        )
    seen: set[tuple[int, int]] = set()
    for name, old in ours.items():
        pair = id(old), id(theirs[name])
        if pair in seen and name not in before and name not in after:
            continue
        change = theirs[name].detach().float().cpu() - old.detach().float().cpu()
        if pair in seen:
            change.zero_()
        seen.add(pair)
        change = _plus(change, after.get(name), 1.0)
        yield name, _plus(change, before.get(name), -1.0)


def projection_changes(base: nn.Module, tuned: nn.Module) -> dict[str, Tensor]:
    """Return ΔW of each projection or part by its name, as it is stored; zeros included."""
    held = _held(base)
    return {
        own.removesuffix(".weight"): part.take(change)
        for name, change in weight_changes(base, tuned)
        if name.endswith(".weight")
        for own, part in held.get(name, ())
    }


def change_norms(base: nn.Module, tuned: nn.Module) -> dict[str, float]:
    """Return the Frobenius norm of each weight's change by plain parameter name.

    Of a fused projection it is that of each of its parts: ``…qkv_proj[k].weight``.
    """
    held, norms = _held(base), dict[str, float]()
    for name, change in weight_changes(base, tuned):
        for own, part in held.get(name, [(name, None)]):
            taken = change if part is None else part.take(change)
            norms[own] = float(taken.double().norm())
    return norms


def _held(base: nn.Module) -> dict[str, list[tuple[str, Part]]]:
    """Return which parts lie in each weight and bias: parameter name → (part's own name, part)."""
    held: dict[str, list[tuple[str, Part]]] = {}
    for ref, part in parts(base).items():
        for end in (".weight", ".bias"):
            module = ref.name.partition("[")[0]
            held.setdefault(f"{module}{end}", []).append((f"{ref.name}{end}", part))
    return held


def inside_outside(norms: Mapping[str, float], robust: RobustModules) -> tuple[float, float]:
    """Return the norm of the change inside Mods_Rob, and that of all other weights."""
    squares = {True: 0.0, False: 0.0}
    for name, norm in norms.items():
        ref = ref_of(name)
        squares[(ref.layer, ref.role) in robust.pairs] += norm**2
    return squares[True] ** 0.5, squares[False] ** 0.5


def movement(probed: Probed, robust: RobustModules, tuned: nn.Module) -> dict[str, float]:
    """Return how far fine-tuning moved weights and security features.

    Args:
        probed: The base model with its fixed probe and prompts.
        robust: Mods_Rob of the base model.
        tuned: The fine-tuned model, full or PEFT.

    Returns:
        ``inside`` and ``outside``: Frobenius norms of the change of the modules in Mods_Rob and of
        all other weights; ``probe_drift``: mean 1 − cos of the security features of harmful
        prompts; ``probe_accuracy``: share of them that the fixed probe still calls harmful.

    Raises:
        ModelError: The tuned model is not one of this base.
    """
    inside, outside = inside_outside(change_norms(probed.suffix.model, tuned), robust)
    states = tuned_states(probed, tuned)
    logits = probed.probe.logits(states)[: probed.harmful]
    return {
        "inside": inside,
        "outside": outside,
        "probe_drift": max(0.0, probed.damage_of(states).drift),
        "probe_accuracy": float((logits > 0).float().mean()),
    }


def tuned_states(probed: Probed, tuned: nn.Module) -> Tensor:
    """Return the tuned model's states on the probe's own prompts, shape (prompts, hidden)."""
    layers, device = decoder_layers(tuned), next(tuned.parameters()).device
    out = torch.empty_like(probed.suffix.clean)
    with torch.no_grad(), inference_mode_flags(tuned):
        for batch in probed.suffix.batches:
            inputs = {name: value.to(device) for name, value in batch.inputs.items()}
            out[batch.rows] = at_last(whole_pass(tuned, layers, inputs), batch).float().cpu()
    return out


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights by the name that the unadapted model has for them."""
    return {
        _SAVED.sub("", plain_name(name)): p
        for name, p in model.named_parameters(remove_duplicate=False)
        if "lora_" not in name and ".original_module." not in name
    }


def _check_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    other = sorted(ours.keys() ^ theirs.keys())
    if other:
        has = "the base" if other[0] in ours else "the tuned model"
        raise ModelError(
            f"the tuned model is not of this base: only {has} has {other[0]}; give a model "
            "that was fine-tuned from it"
        )
    for name, p in ours.items():
        here, there = tuple(p.shape), tuple(theirs[name].shape)
        if here != there:
            raise ModelError(
                f"the tuned model is not of this base: {name} has shape {there} and the base's "
                f"{here}; give a model that was fine-tuned from it"
            )


def _adapted(model: Any) -> dict[str, Any]:
    """Return the layers with an adapter at work, by the plain name of the weight they adapt."""
    if not isinstance(model, nn.Module) or not hasattr(model, "peft_config"):
        return {}
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415  # Slow to import.

    # An adapter of stacked experts says which of its module's parameters it adapts.
    return {
        f"{plain_name(name)}.{getattr(layer, 'parameter_name', 'weight')}": layer
        for name, layer in model.named_modules()
        if isinstance(layer, BaseTunerLayer) and not (layer.merged or layer.disable_adapters)
    }


def _plus(change: Tensor, layer: Any, sign: float) -> Tensor:
    """Add s·BA of each active adapter of ``layer``."""
    if layer is None:
        return change
    for name in layer.active_adapters:
        if name in getattr(layer, "lora_A", {}) or name in getattr(layer, "lora_embedding_A", {}):
            _check_plain(layer, name)
            added: Tensor = layer.get_delta_weight(name).detach().float().cpu()
            change = change + sign * added
        elif not hasattr(layer, "lora_A"):
            _refuse(type(layer).__name__)
    return change


def _check_plain(layer: Any, name: str) -> None:
    if name in getattr(layer, "lora_magnitude_vector", {}):
        _refuse("DoRA")
    if getattr(dict(layer.lora_B).get(name), "bias", None) is not None:
        _refuse("LoRA with a bias")


def _refuse(what: str) -> None:
    raise ModelError(
        f"the tuned model's adapter is {what}, which does more than add s·BA to a weight; merge it "
        "(merge_and_unload) and give the merged model"
    )
