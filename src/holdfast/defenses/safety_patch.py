"""The perturbation of a LoRA adapter as an adapter of its own: a removable safety patch."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.defense import Run
from holdfast.errors import ModelError
from holdfast.files.adapters import adapter_files
from holdfast.ops.adapter_facts import AdapterKind, adaptations
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import plain_name, trainable

__all__ = ["patch_factors", "patch_files", "safety_patch", "scalings", "without_patch"]

_EXACT = frozenset({AdapterKind.LORA, AdapterKind.MOVED_BASE})
"""A base that its initialization moved is the same before and after ε."""


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
    why = without_patch(model, eps)
    if why is not None:
        raise ModelError(
            f"a safety patch needs a perturbation of LoRA factors A and B alone: {why}"
        )
    scales = scalings(model)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in (n for n in eps if ".lora_A." in n):
        module, adapter = plain_name(name).removesuffix(".weight").split(".lora_A.")
        other = name.replace(".lora_A.", ".lora_B.")
        a, b = patch_factors(before[name].detach(), before[other].detach(), eps[name], eps[other])
        b = b * scales[module, adapter]
        if module in factors:  # Several adapters were perturbed at once; their patches add up.
            a, b = torch.cat([factors[module][0], a], 0), torch.cat([factors[module][1], b], 1)
        factors[module] = (a, b)
    return LowRank(factors)


def patch_files(run: Run, name: str, change: Mapping[str, Tensor]) -> Artifact:
    """Return the safety patch's files where LoRA factors are all that a repair moves.

    Whole weights have no patch to speak of; of an adapter it is told why it has none.

    Args:
        run: The run, its weights as they are before the repair.
        name: The repair's name, for what is told.
        change: What is added to the trained tensors, by canonical name.
    """
    if (why := without_patch(run.model, change)) is not None:
        return Artifact(name, report=_no_patch(run, name, why))
    patch = safety_patch(run.model, run.engine.parameters(), change)
    base = str(getattr(getattr(run.model, "config", None), "_name_or_path", ""))
    weights, config = adapter_files(patch.tensors(), base)
    stem = "safety_patch/adapter"
    return Artifact(name, {f"{stem}_model": weights}, {f"{stem}_config": config})


def _no_patch(run: Run, name: str, why: str) -> dict[str, str]:
    if not adaptations(run.model):
        return {}
    run.say(f"{name}: no safety patch is written, ε stands in the adapter alone: {why}")
    return {"no_safety_patch": why}


def without_patch(model: nn.Module, eps: Mapping[str, Tensor]) -> str | None:
    r"""Return why ε on this model is no adapter of its own; None where it is one.

    The patch is exact where the forward pass adds :math:`s\,BA` and nothing else of what ε moves:
    not on DoRA, a LoRA's own bias, an embedding or a copy of a whole module.
    """
    own = {id(p): fact for fact in adaptations(model) for p in fact.parameters}
    moved = {name: own.get(id(p)) for name, p in trainable(model).items() if name in eps}
    for name, fact in moved.items():
        if fact is None:
            return f"{name} is no tensor of an adapter"
        if fact.kind not in _EXACT or not fact.active:
            return f"{fact.module} is {fact.kind.value}"
    return None if moved else "no tensor of an adapter is perturbed"


def scalings(model: nn.Module) -> dict[tuple[str, str], float]:
    """Return the scale of every (LoRA layer, adapter)."""
    found: dict[tuple[str, str], float] = {}
    for name, module in model.named_modules():
        scaling = getattr(module, "scaling", None)
        if isinstance(scaling, dict):
            found |= {(plain_name(name), str(a)): float(s) for a, s in scaling.items()}
    return found
