"""Which module is which: (layer, role) of every projection, and names that survive wrapping.

Roles: ``q k v o gate up down``, and ``qkv`` where an architecture fuses the three. The table is
read against the live module tree, so a renamed or fused projection is refused by name, not guessed.
"""

import re
from dataclasses import dataclass

from torch import nn

from holdfast.errors import ModelError

__all__ = [
    "ATTENTION_ROLES", "ModuleRef", "attentions", "canonical", "decoder_layers", "plain_name",
    "projections", "ref_of", "trainable",
]  # fmt: skip

_WRAPPERS = ("_checkpoint_wrapped_module", "_orig_mod", "_fsdp_wrapped_module", "module")
_PEFT = re.compile(r"^base_model\.model\.|\.base_layer(?=\.|$)")
# A vision tower (Gemma 3 has one) has layers and projections too; they are not the decoder's.
_LAYER = re.compile(r"^(?!.*\bvision_tower\.)(?:.*\.)?(?:layers|h|blocks)\.(\d+)\.(.+)$")
_LAYER_ITSELF = re.compile(r"^(?!.*\bvision_tower\.)(?:.*\.)?(?:layers|h|blocks)\.(\d+)$")
_ROLES: dict[str, str] = {
    "self_attn.q_proj": "q", "self_attn.k_proj": "k", "self_attn.v_proj": "v",
    "self_attn.o_proj": "o", "self_attn.out_proj": "o",
    "mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down",
    "attention.query_key_value": "qkv", "attention.dense": "o",
    "mlp.dense_h_to_4h": "up", "mlp.dense_4h_to_h": "down",
    "fc1": "up", "fc2": "down",
}  # fmt: skip
FUSED_ROLES = frozenset({"qkv"})
ATTENTION_ROLES = frozenset({"q", "k", "v", "o", "qkv"})
ARCHITECTURES = frozenset({
    "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gemma3_text", "gpt_neox", "opt",
})  # fmt: skip


@dataclass(frozen=True, order=True)
class ModuleRef:
    """Where a weight sits: ``layer`` (-1 outside the decoder layers), ``role``, module ``name``."""

    layer: int
    role: str
    name: str


def canonical(name: str) -> str:
    """Return a parameter's or module's name without what DDP, FSDP, compile and AC add to it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def plain_name(name: str) -> str:
    """Return the canonical name as the unadapted model has it (no PEFT prefix, no base_layer)."""
    return _PEFT.sub("", canonical(name))


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training changes, by canonical name, in the model's order."""
    return {canonical(n): p for n, p in model.named_parameters() if p.requires_grad}


def ref_of(parameter: str) -> ModuleRef:
    """Return where the parameter of this name sits; its role is ``other`` if none of ours.

    LoRA factors belong to the projection they adapt, so ``...q_proj.lora_A.default.weight`` is
    role ``q`` of its layer.
    """
    name = re.sub(r"\.(lora_[A-Za-z_]+|weight|bias)(\..*)?$", "", plain_name(parameter))
    found = _LAYER.search(name)
    if found is None:
        return ModuleRef(-1, "other", name)
    return ModuleRef(int(found[1]), _ROLES.get(found[2], "other"), name)


def projections(model: nn.Module, *, split: bool = False) -> dict[ModuleRef, nn.Linear]:
    """Return every projection of the decoder layers with its (layer, role).

    Args:
        model: A Hugging Face causal LM, bare or inside PEFT or another wrapper.
        split: Refuse fused projections too (analysis per q, k and v needs them apart).

    Raises:
        ModelError: The architecture is not one of ours, or a linear layer in it has no known role,
            or no layer has a linear projection (some quantized ones are of another class), or
            ``split`` is set and a projection is fused.
    """
    kind = str(getattr(getattr(model, "config", None), "model_type", "unknown"))
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"architecture {kind!r} is not one holdfast knows by role "
            f"({', '.join(sorted(ARCHITECTURES))}); add its projections to holdfast.ops.modules"
        )
    found = {
        ref_of(name): module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lora_" not in name and _LAYER.search(plain_name(name))
    }
    if not found:
        raise ModelError(
            f"the decoder layers of this {kind!r} model hold no torch.nn.Linear; give a model "
            "whose projections are not quantized or replaced"
        )
    for ref in found:
        if ref.role == "other" or (split and ref.role in FUSED_ROLES):
            state = "unknown" if ref.role == "other" else "fused"
            needed = "this needs separate projections with known roles"
            raise ModelError(f"module {ref.name!r} of {kind!r} is {state}; {needed}")
    return dict(sorted(found.items()))


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """Return the decoder layers in their order, bare or inside PEFT.

    Raises:
        ModelError: There are none where holdfast looks for them.
    """
    found = {
        int(match[1]): module
        for name, module in model.named_modules()
        if (match := _LAYER_ITSELF.search(plain_name(name)))
    }
    if not found or sorted(found) != list(range(len(found))):
        said = f"{type(model).__name__} has no decoder layers under layers, h or blocks"
        raise ModelError(f"{said}; add its layout to holdfast.ops.modules")
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
            "projection; add its layout to holdfast.ops.modules"
        )
    return [module for module in found if module is not None]
