"""What fine-tuning changed, projection by projection: a LoRA factor pair, or a trained weight."""

from collections.abc import Generator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from holdfast.errors import ConfigError, ModelError
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.adapter_facts import AdapterKind, require_kinds
from holdfast.ops.engine import Engine
from holdfast.ops.engines.sharded import whole
from holdfast.ops.modules import ModuleRef, plain_name, projections, ref_of, trainable
from holdfast.ops.roles.names import kind_left_out, place_of
from holdfast.ops.roles.parts import Linear, features, oriented
from holdfast.progress import Progress, counted, silent

__all__ = ["Change", "beside", "changes", "check_changes", "refuse_experts"]

_ROUNDING = 0.005
"""Relative difference that a bfloat16 copy of the weights may have; PiSSA's is larger."""


class Change(NamedTuple):
    """What fine-tuning did to one projection."""

    parameter: str
    """The tensor that is edited, by canonical name: a LoRA factor B, or the weight itself."""
    ref: ModuleRef
    factor: Tensor
    """What is projected: B, or ΔW of a weight trained in place; shape (out, r) or (out, in)."""
    right: Tensor | None
    """A, where ΔW = BA; shape (r, in)."""
    aligned: Tensor
    """The weight before fine-tuning, float32, shape (out, in)."""
    module: Linear

    def whole(self, factor: Tensor) -> Tensor:
        """Return the change of shape (out, in) that ``factor`` stands for."""
        return factor if self.right is None else factor @ self.right

    def stored(self, factor: Tensor) -> Tensor:
        """Return what is added to ``parameter`` for a change of ``factor``."""
        return oriented(self.module, factor) if self.right is None else factor

    def read(self, saved: SavedWeights) -> Tensor:
        """Return the projection's weight in a folder, float32, shape (out, in)."""
        return _read(saved, self.module, self.ref)


def changes(engine: Engine, aligned: str | None, progress: Progress = silent) -> Generator[Change]:
    """Yield the change of every trained projection, one at a time.

    Args:
        engine: The engine of the tuned model.
        aligned: Folder of the model before fine-tuning; None takes an adapter's own base.
        progress: Takes how many are done.

    Raises:
        ConfigError: Aligned weights are needed from a folder and none is given.
        ModelError: No projection was trained, or the folder's model is another one.
    """
    trained, live = engine.parameters(), projections(engine.model)
    saved = None if aligned is None else open_weights(aligned, "safe_lora: aligned", engine.model)
    found = _changed(trained, live)
    for name, ref, in_place in counted(progress, "safe_lora: modules", found):
        before = _aligned(live[ref], ref, saved, in_place)
        if in_place:
            now = oriented(live[ref], whole(trained[name].detach())).float()
            yield Change(name, ref, now - before, None, before, live[ref])
        else:
            a = _factor_a(engine.model, name)
            yield Change(name, ref, whole(trained[name].detach()), a, before, live[ref])


def beside(engine: Engine) -> list[str]:
    """Return the trained tensors that are no part of a projection's change: they are left alone."""
    trained, live = engine.parameters(), projections(engine.model)
    edited = {name for name, _, _ in _changed(trained, live)}
    factors = {name.replace(".lora_B.", ".lora_A.") for name in edited}
    return [name for name in trained if name not in edited | factors]


def check_changes(model: nn.Module, base: str, aligned: str | None) -> None:
    """Raise before step 0 what would only show after the training.

    Args:
        model: The model that will be tuned, or was.
        base: Folder of the unaligned model.
        aligned: Folder of the aligned model, where one is given.

    Raises:
        ConfigError: A folder is missing, or holds another model than it is given as.
        ModelError: The adapter is more than a plain LoRA, no projection is trained, or a folder's
            model has other projections.
    """
    require_kinds(model, {AdapterKind.LORA}, "safe_lora")
    refuse_experts(model)
    unaligned = open_weights(base, "safe_lora: base", model)
    saved = None if aligned is None else open_weights(aligned, "safe_lora: aligned", model)
    live, differs = projections(model), False
    for _, ref, in_place in _changed(trainable(model), live):
        linear, weight = live[ref], f"{ref.name}.weight"
        shape = _stored_shape(linear)
        for folder in (unaligned, saved):
            if folder is not None:
                folder.check(weight, shape)
        if differs and (saved is None or in_place):
            continue  # Only an adapter stands on weights that must be the aligned ones.
        before = _aligned(linear, ref, saved, in_place)
        if not in_place:
            _check_own_base(linear, ref, before, str(aligned))
        differs = differs or not torch.equal(_read(unaligned, linear, ref), before)
    if not differs:
        raise ConfigError(
            f"safe_lora: base={base!r} holds the aligned weights themselves, so there is no "
            "alignment to project into; give the model from before safety training"
        )


def refuse_experts(model: nn.Module) -> None:
    """Raise where experts are tuned: stacked in one tensor, they are no projections with a role."""
    for name in trainable(model):
        if kind_left_out(place_of(name)[1]) == "routed experts":
            raise ModelError(
                f"safe_lora edits projections, and {name} (routed experts, stacked) is tuned as "
                "well, so its change would stay; tune a LoRA adapter on the decoder's projections, "
                "or freeze the experts"
            )


def _check_own_base(linear: Linear, ref: ModuleRef, aligned: Tensor, folder: str) -> None:
    """Raise where an adapter does not stand on the aligned weights: its BA is not the change."""
    if not linear.weight.is_floating_point() or linear.weight.is_meta:
        return  # Without values of its own, the folder is its base.
    apart = torch.linalg.vector_norm(oriented(linear, linear.weight.detach()).float() - aligned)
    if float(apart) > _ROUNDING * float(torch.linalg.vector_norm(aligned)):
        raise ConfigError(
            f"safe_lora: the adapter's own base differs from aligned={folder!r} at {ref.name}, so "
            "the adapter is not all that changed since alignment; give the model that the adapter "
            "was trained on, or merge the adapter first (merge_and_unload)"
        )


def _changed(
    trained: Mapping[str, nn.Parameter], live: Mapping[ModuleRef, Linear]
) -> list[tuple[str, ModuleRef, bool]]:
    """Return each trained factor B or whole weight of a projection; True for whole weights."""
    found: list[tuple[str, ModuleRef, bool]] = []
    for name in trained:
        ref = ref_of(name)
        in_place = plain_name(name) == f"{ref.name}.weight"
        if ref in live and (in_place or ".lora_B." in name):
            found.append((name, ref, in_place))
    if not found:
        raise ModelError(
            "safe_lora: neither a LoRA factor B nor a weight of a projection is trained; give "
            "a model with a LoRA adapter on its linear layers, or fully tuned weights"
        )
    return found


def _factor_a(model: nn.Module, name_of_b: str) -> Tensor:
    """Return the factor A beside a factor B; it may be frozen while B is trained."""
    wanted = plain_name(name_of_b).replace(".lora_B.", ".lora_A.")
    found = next(p for n, p in model.named_parameters() if plain_name(n) == wanted)
    return whole(found.detach()).float()


def _aligned(linear: Linear, ref: ModuleRef, saved: SavedWeights | None, in_place: bool) -> Tensor:
    """Return a projection's weight as it was before fine-tuning, in float32."""
    if saved is not None:
        return _read(saved, linear, ref)
    if in_place or not linear.weight.is_floating_point():
        why = "was trained in place" if in_place else "is quantized"
        raise ConfigError(
            f"safe_lora: the weight of {ref.name} {why}, so its aligned value is not in the model; "
            "give aligned= (the folder of the model before fine-tuning)"
        )
    return oriented(linear, whole(linear.weight.detach())).float()


def _stored_shape(linear: Linear) -> tuple[int, ...]:
    """Return the shape in which a folder holds the weight; a quantized one's own is another."""
    return tuple(oriented(linear, torch.empty(features(linear), device="meta")).shape)


def _read(saved: SavedWeights, linear: Linear, ref: ModuleRef) -> Tensor:
    """Return the projection's weight in a folder, float32, shape (out, in)."""
    device = "cpu" if linear.weight.is_meta else linear.weight.device
    like = torch.empty(_stored_shape(linear), device=device)
    return oriented(linear, saved.read(f"{ref.name}.weight", like))
