"""Where a layer's change stands: in its weight, or in the two factors of an adapter."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from holdfast.defense import Run
from holdfast.defenses.safety_patch import scalings
from holdfast.errors import ModelError
from holdfast.files.weights import SavedWeights
from holdfast.ops.engines.sharded import whole
from holdfast.ops.gradients import Tensors
from holdfast.ops.modules import ModuleRef, plain_name, projections, ref_of
from holdfast.ops.roles.names import kind_left_out, place_of
from holdfast.ops.roles.parts import Linear, oriented


class Place(NamedTuple):
    """The trained tensors of one layer."""

    ref: ModuleRef
    module: Linear
    weight: str = ""
    """Name of the weight, where it is trained itself."""
    a: str = ""
    """Name of the factor A, where an adapter is."""
    b: str = ""
    scale: float = 1.0
    """s of s·BA."""

    @property
    def tensors(self) -> int:
        """How many trained tensors they are."""
        return 1 if self.weight else 2


def places(model: nn.Module, trained: Mapping[str, nn.Parameter]) -> dict[ModuleRef, Place]:
    """Return where each trained layer's change stands.

    Raises:
        ModelError: No projection is trained, experts are, or of a factor pair one is frozen.
    """
    live, found, scales = projections(model), dict[ModuleRef, Place](), scalings(model)
    for name in trained:
        ref = ref_of(name)
        if kind_left_out(place_of(name)[1]) == "routed experts":
            raise ModelError(
                f"safe_delta edits projections, and {name} (routed experts, stacked) is tuned as "
                "well, so its change would stay; freeze the experts"
            )
        if ref not in live:
            continue
        if plain_name(name) == f"{ref.name}.weight":
            found[ref] = Place(ref, live[ref], weight=name)
        elif ".lora_B." in name:
            a, adapter = name.replace(".lora_B.", ".lora_A."), name.split(".lora_B.")[1]
            if a not in trained:
                raise ModelError(
                    f"safe_delta factors the edited change anew, and {a} is frozen; train both "
                    "factors, or merge the adapter first (merge_and_unload)"
                )
            scale = scales[ref.name, adapter.removesuffix(".weight")]
            found[ref] = Place(ref, live[ref], a=a, b=name, scale=scale)
    if not found:
        raise ModelError(
            "safe_delta: neither a LoRA pair nor a weight of a projection is trained; give a model "
            "with a LoRA adapter on its linear layers, or fully tuned weights"
        )
    return found


def change_of(run: Run, place: Place, aligned: SavedWeights | None) -> tuple[Tensor, Tensor | None]:
    """Return a layer's ΔW and, of a weight, its W0; float32, shape (out, in)."""
    trained = run.engine.parameters()
    if place.weight:
        assert aligned is not None, "check_model asked for the aligned model"  # noqa: S101
        now = whole(trained[place.weight].detach())
        before = oriented(place.module, aligned.read(f"{place.ref.name}.weight", now).to(now))
        return oriented(place.module, now).float() - before.float(), before.float()
    a, b = (whole(trained[name].detach()).float() for name in (place.a, place.b))
    return place.scale * (b @ a), None


def stored(
    place: Place, change: Tensor, before: Tensor | None, rank: int
) -> tuple[Tensors, Tensor]:
    """Return the tensors that hold ``change``, and the change that they do hold.

    Of an adapter it is the nearest one of its rank: the edited change has more than that.
    """
    if before is not None:
        return {place.weight: oriented(place.module, before + change)}, change
    u, values, vh = torch.linalg.svd(change, full_matrices=False)
    root = values[:rank].sqrt()
    b, a = u[:, :rank] * root / place.scale, root[:, None] * vh[:rank]
    return {place.a: a, place.b: b}, place.scale * (b @ a)
