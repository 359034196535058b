"""The perturbation of a LoRA adapter as an adapter of its own: a removable safety patch."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from holdfast.errors import ModelError
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import plain_name


def patch_factors(a: Tensor, b: Tensor, eps_a: Tensor, eps_b: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return (A', B') of rank 2r with :math:`B'A' = (B+\varepsilon_B)(A+\varepsilon_A) - BA`.

    The product is :math:`\varepsilon_B(A+\varepsilon_A) + B\varepsilon_A`, so
    :math:`B' = [\varepsilon_B, B]` and :math:`A' = [A+\varepsilon_A; \varepsilon_A]`.

    Args:
        a: A before the perturbation, shape (r, in).
        b: B before the perturbation, shape (out, r).
        eps_a: Perturbation of A, shape (r, in).
        eps_b: Perturbation of B, shape (out, r).
    """
    return torch.cat([a + eps_a, eps_a], dim=0), torch.cat([eps_b, b], dim=1)


def safety_patch(
    model: nn.Module, before: Mapping[str, Tensor], eps: Mapping[str, Tensor]
) -> LowRank:
    """Return the rank-2r adapter that does to the unperturbed model what ε does in place.

    Args:
        model: The PEFT model, for the scaling of its LoRA layers.
        before: The trainable tensors without the perturbation, by canonical name.
        eps: The scaled perturbation, by the same names.

    Raises:
        ModelError: The perturbed tensors are not LoRA factors only.
    """
    if not is_lora_only(eps):
        raise ModelError("a safety patch needs a perturbation of LoRA factors A and B alone")
    scalings = _scalings(model)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in (n for n in eps if ".lora_A." in n):
        module, adapter = plain_name(name).removesuffix(".weight").split(".lora_A.")
        other = name.replace(".lora_A.", ".lora_B.")
        a, b = patch_factors(before[name].detach(), before[other].detach(), eps[name], eps[other])
        b = b * scalings[module, adapter]
        if module in factors:  # Several adapters were perturbed at once; their patches add up.
            a, b = torch.cat([factors[module][0], a], 0), torch.cat([factors[module][1], b], 1)
        factors[module] = (a, b)
    return LowRank(factors)


def is_lora_only(eps: Mapping[str, Tensor]) -> bool:
    """Tell whether LoRA's A and B are all that is perturbed (not DoRA, biases or embeddings)."""
    return bool(eps) and all(".lora_A." in n or ".lora_B." in n for n in eps)


def _scalings(model: nn.Module) -> dict[tuple[str, str], float]:
    """Return the scale of every (LoRA layer, adapter)."""
    found: dict[tuple[str, str], float] = {}
    for name, module in model.named_modules():
        scaling = getattr(module, "scaling", None)
        if isinstance(scaling, dict):
            found |= {(plain_name(name), str(a)): float(s) for a, s in scaling.items()}
    return found
