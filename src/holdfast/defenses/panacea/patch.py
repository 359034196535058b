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
    stray = [n for n in eps if ".lora_A." not in n and ".lora_B." not in n]
    if stray or not eps:
        raise ModelError(
            f"a safety patch needs a perturbation of LoRA factors alone, and {stray[:1]} is none"
        )
    scalings = _scalings(model)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in (n for n in eps if ".lora_A." in n):
        other = name.replace(".lora_A.", ".lora_B.")
        a, b = patch_factors(before[name], before[other], eps[name], eps[other])
        plain = plain_name(name.split(".lora_A.")[0])
        factors[plain] = (a, b * scalings[plain])
    return LowRank(factors)


def _scalings(model: nn.Module) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, module in model.named_modules():
        scaling = getattr(module, "scaling", None)
        if isinstance(scaling, dict) and scaling:
            active = getattr(module, "active_adapters", list(scaling))
            found[plain_name(name)] = float(scaling[active[0]])
    return found
