"""What fine-tuning changed, projection by projection: a LoRA factor pair, or a trained weight."""

from collections.abc import Generator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from holdfast.errors import ConfigError, ModelError
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.engine import Engine
from holdfast.ops.modules import ModuleRef, plain_name, projections, ref_of

__all__ = ["Change", "changes"]


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

    def whole(self, factor: Tensor) -> Tensor:
        """Return the change of shape (out, in) that ``factor`` stands for."""
        return factor if self.right is None else factor @ self.right


def changes(engine: Engine, aligned: str | None) -> Generator[Change]:
    """Yield the change of every trained projection, one at a time.

    Args:
        engine: The engine of the tuned model.
        aligned: Folder of the model before fine-tuning; None takes an adapter's own base.

    Raises:
        ConfigError: Aligned weights are needed from a folder and none is given.
        ModelError: No projection was trained, or the folder's model is another one.
    """
    trained, live = engine.parameters(), projections(engine.model)
    saved = None if aligned is None else open_weights(aligned, "safe_lora: aligned")
    found = 0
    for name, p in trained.items():
        ref = ref_of(name)
        in_place = plain_name(name) == f"{ref.name}.weight"
        if ref not in live or not (in_place or ".lora_B." in name):
            continue
        found += 1
        before = _aligned(live[ref], ref, saved, in_place)
        if in_place:
            yield Change(name, ref, p.detach().float() - before, None, before)
        else:
            yield Change(name, ref, p.detach(), _factor_a(engine.model, name), before)
    if found == 0:
        raise ModelError(
            "safe_lora: neither a LoRA factor B nor a weight of a projection was trained; give "
            "a model with a LoRA adapter on its linear layers, or fully tuned weights"
        )


def _factor_a(model: nn.Module, name_of_b: str) -> Tensor:
    """Return the factor A beside a factor B; it may be frozen while B is trained."""
    wanted = plain_name(name_of_b).replace(".lora_B.", ".lora_A.")
    return next(p for n, p in model.named_parameters() if plain_name(n) == wanted).detach().float()


def _aligned(
    linear: nn.Linear, ref: ModuleRef, saved: SavedWeights | None, in_place: bool
) -> Tensor:
    """Return a projection's weight as it was before fine-tuning, in float32."""
    if saved is not None:
        like = torch.empty(linear.out_features, linear.in_features, device=linear.weight.device)
        return saved.read(f"{ref.name}.weight", like)
    if in_place or not linear.weight.is_floating_point():
        why = "was trained in place" if in_place else "is quantized"
        raise ConfigError(
            f"safe_lora: the weight of {ref.name} {why}, so its aligned value is not in the model; "
            "give aligned= (the folder of the model before fine-tuning)"
        )
    return linear.weight.detach().float()
