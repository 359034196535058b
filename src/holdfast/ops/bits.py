"""In how many bits the weights of a live model lie, and an adapter's own tensors in float32 there.

A quantized weight is a code for a number: nothing can be added to it exactly.
"""

from typing import Any

import torch
from torch import nn

from holdfast.errors import ModelError
from holdfast.ops.modules import trainable

__all__ = ["adapter_in_float32", "elsewhere", "kept_trainable", "quantized_as", "refuse_packed"]


def quantized_as(model: nn.Module) -> str | None:
    """Return how the model's own weights are quantized, such as ``4-bit``; None where they are not.

    What transformers tells of a model counts, and where it tells nothing, the weights themselves.
    """
    for bits in ("4bit", "8bit"):
        if getattr(model, f"is_loaded_in_{bits}", False) is True:
            return f"{bits[0]}-bit"
    method: Any = getattr(model, "quantization_method", None)
    if method is not None:
        return str(getattr(method, "value", method))
    codes = (p.dtype for _, p in model.named_parameters() if not p.is_floating_point())
    found = next(codes, None)
    return None if found is None else str(found).removeprefix("torch.")


def elsewhere(model: nn.Module) -> str | None:
    """Return the name of a weight that lies on a disk and not in memory, if there is one."""
    return next((name for name, p in model.named_parameters() if p.is_meta), None)


def adapter_in_float32(model: nn.Module | None) -> None:
    """Give the trained tensors beside a quantized base back in float32.

    TRL casts them to bfloat16, in which the small edits of most defenses round away. They were
    drawn in float32 and have not been trained yet, so that what is lost is a rounding of a draw.
    """
    if model is None or quantized_as(model) is None:
        return
    for p in trainable(model).values():
        if p.dtype in (torch.bfloat16, torch.float16):
            p.data = p.data.float()


def kept_trainable(model: nn.Module) -> None:
    """Keep 4-bit layers on a processor as they are for all passes.

    Where it has bfloat16 instructions, bitsandbytes packs such a weight anew in the first pass
    without a gradient, and from then on no gradient goes through it in any pass, without an error.
    """
    layers: Any = model.modules()
    for module in layers:
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def refuse_packed(model: nn.Module) -> None:
    """Raise ``ModelError`` where a 4-bit weight was packed: no gradient would go through it.

    bitsandbytes' way back loses the order of a weight's scales, so it is not taken.
    """
    for name, weight in model.named_parameters():
        if getattr(getattr(weight, "quant_state", None), "packing_format_for_cpu", False):
            raise ModelError(
                f"{name}: bitsandbytes packed this 4-bit weight when the model answered on a "
                "processor, and no gradient goes through it since: load the model again, and let "
                "it answer by holdfast alone, or after this"
            )
