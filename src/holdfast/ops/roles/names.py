"""Where a weight sits, by its name alone: names survive wrapping, PEFT and fused slices."""

import re
from dataclasses import dataclass
from functools import cache

from holdfast.errors import ModelError
from holdfast.ops.roles.table import LEFT_OUT, ROLES

__all__ = [
    "ModuleRef", "canonical", "in_tower", "is_router", "kind_left_out", "learn", "place_of",
    "plain_name", "ref_of",
]  # fmt: skip

_WRAPPERS = ("_checkpoint_wrapped_module", "_orig_mod", "_fsdp_wrapped_module", "module")
_PEFT = re.compile(r"^base_model\.model\.|\.base_layer(?=\.|$)")
# The tower of a multimodal model has layers and projections too; they are not the decoder's.
_TOWER = r"\b(?:vision|visual|audio|image|speech|multi_modal|mm)\w*\."
_LAYER = re.compile(rf"^(?!.*{_TOWER})(?:.*\.)?(?:layers|h|blocks)\.(\d+)(?:\.(.+))?$")
_SLICE = re.compile(r"\[(\w+)\]$")
_PARAMETER = re.compile(r"\.(lora_[A-Za-z_]+|weight|bias)(\..*)?$")
_PROVEN: dict[str, str] = {}


@dataclass(frozen=True, order=True)
class ModuleRef:
    """Where a weight sits: ``layer`` (-1 outside the decoder layers), ``role``, module ``name``.

    The name of a part of a fused projection ends in its role: ``…self_attn.qkv_proj[k]``.
    """

    layer: int
    role: str
    name: str


@cache  # Asked for every parameter whenever a model is walked, some in every micro-batch.
def canonical(name: str) -> str:
    """Return a parameter's or module's name without what DDP, FSDP, compile and AC add to it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def plain_name(name: str) -> str:
    """Return the canonical name as the unadapted model has it (no PEFT prefix, no base_layer)."""
    return _PEFT.sub("", canonical(name))


@cache  # Asked for every parameter in every micro-batch.
def place_of(module: str) -> tuple[int, str]:
    """Return the decoder layer of a module or parameter and its path in there; -1 if in none."""
    found = _LAYER.search(plain_name(module))
    return (int(found[1]), found[2] or "") if found else (-1, "")


def in_tower(name: str) -> bool:
    """Tell whether this part of a multimodal model is none of its decoder."""
    return re.search(_TOWER, plain_name(name)) is not None


@cache
def _module_of(parameter: str) -> str:
    return _PARAMETER.sub("", plain_name(parameter))


def ref_of(parameter: str) -> ModuleRef:
    """Return where the parameter of this name sits; its role is ``other`` if none of ours.

    LoRA factors belong to the projection they adapt, so ``...q_proj.lora_A.default.weight`` is
    role ``q`` of its layer.
    """
    name = _module_of(parameter)
    layer, path = place_of(name)
    part = _SLICE.search(path)
    role = part[1] if part else ROLES.get(path) or _PROVEN.get(path, "other")
    return ModuleRef(layer, role, name)


def kind_left_out(path: str) -> str | None:
    """Return what the tensor or module of this path in its layer is, where it never has a role."""
    return next((kind for pattern, kind in LEFT_OUT.items() if re.search(pattern, path)), None)


def is_router(name: str) -> bool:
    """Tell whether the parameter of this name chooses the experts of a decoder layer."""
    layer, path = place_of(name)
    return layer >= 0 and kind_left_out(path) == "router"


def learn(roles: dict[str, str]) -> None:
    """Remember roles that the data flow of a live layer has proven, by path in the layer.

    Raises:
        ModelError: A path has another role in a model that was looked at before.
    """
    for path, role in roles.items():
        known = ROLES.get(path) or _PROVEN.get(path, role)
        if known != role:
            raise ModelError(
                f"{path!r} is {role!r} by the data flow of this model and {known!r} in others, so "
                "its name tells nothing; add the model's type to holdfast.ops.roles.table"
            )
    _PROVEN.update(roles)
