r"""What is done to modules to see how much safety they carry, and how much of it was lost.

.. math:: W_m \leftarrow W_m + \varepsilon_m,\qquad
          \lVert\varepsilon_m\rVert_F = \rho\,\lVert W_m\rVert_F

``noise`` draws ε from a normal distribution; ``delta`` puts in one module's own change from a
fine-tuning run. The weight of a LoRA-adapted module is its base layer's; what is added to it is
added to the adapted module.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from holdfast.analysis.probing.probe import Probe
from holdfast.analysis.probing.suffix import Suffix
from holdfast.errors import InputError, ModelError, RunError
from holdfast.ops.modules import ATTENTION_ROLES, ModuleRef
from holdfast.ops.randomness import derived_seed
from holdfast.ops.roles.parts import Part
from holdfast.ops.weights import shifted_weights

__all__ = [
    "Change", "Damage", "Modules", "Probed", "delta", "noise", "noise_unit", "perturbable",
    "pooled",
]  # fmt: skip

Modules = Mapping[ModuleRef, Part]
Change = Callable[[ModuleRef, int], Tensor]
"""(module, seed) → what is added to its weight, in the shape in which that is stored."""


class Damage(BaseModel):
    """How far one perturbation moved the security features of the harmful prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drift: float
    """1 − cos between a prompt's features before and after, averaged; in [0, 2]."""
    logit: float
    """Root mean square of the change of the logit over the harmful prompts."""
    mean_logit: float
    """Change of the mean logit; below 0 the prompts look less harmful."""
    accuracy: float
    """Drop of the share of harmful prompts called harmful."""
    balanced_accuracy: float
    """Drop of the balanced accuracy over harmful and benign prompts."""


def pooled(damages: Sequence[Damage], score: str) -> float:
    """Return one figure for several draws: their mean, or the root mean square of ``logit``.

    ``logit`` is a root mean square over prompts, so over draws too its squares are averaged: that
    is what the first-order estimate is an estimate of.
    """
    values = [float(getattr(d, score)) for d in damages]
    return fmean(v * v for v in values) ** 0.5 if score == "logit" else fmean(values)


@dataclass(frozen=True)
class Probed:
    """A model with a trained classifier and the prompts that it reads."""

    suffix: Suffix
    probe: Probe
    harmful: int
    """The first so many prompts of the suffix are harmful, the rest benign."""
    modules: Modules

    def damage(self, change: Change, refs: Iterable[ModuleRef], seed: int) -> Damage:
        """Return the damage of changing ``refs`` together; the weights come back bit for bit.

        A copy and a change of each of these weights is held meanwhile: three times their memory
        where they are all of the model's.

        Raises:
            InputError: A change has not the shape of its weight.
            RunError: The changed model's hidden states are not finite.
        """
        chosen = list(refs)
        weights, by = _together(self.modules, {r: change(r, seed) for r in chosen})
        first = min((r.layer for r in chosen), default=0)
        attention = any(r.layer == first and r.role in ATTENTION_ROLES for r in chosen)
        with shifted_weights(weights, by):
            states = self.suffix.states(first, attention=attention)
        if not bool(torch.isfinite(states).all()):
            raise RunError(
                f"hidden states are not finite once {', '.join(by)} is changed; use a smaller rho, "
                "or float32 or bfloat16 weights"
            )
        return self.damage_of(states)

    def damage_of(self, states: Tensor) -> Damage:
        """Return how far the states, shape (prompts, hidden), lie from the clean ones."""
        probe, count = self.probe, self.harmful
        before, after = probe.features(self.suffix.clean), probe.features(states)
        old, new = probe.logits(self.suffix.clean), probe.logits(states)
        cosine = torch.cosine_similarity(before[:count], after[:count], dim=1)
        change = (new - old)[:count]
        return Damage(
            drift=float((1 - cosine).mean()),
            logit=float(change.square().mean().sqrt()),
            mean_logit=float(change.mean()),
            accuracy=float((old[:count] > 0).float().mean() - (new[:count] > 0).float().mean()),
            balanced_accuracy=_balanced(old, count) - _balanced(new, count),
        )


def _together(
    modules: Modules, changes: Mapping[ModuleRef, Tensor]
) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Return the weights that the modules lie in and what is added to each of them."""
    weights: dict[str, nn.Parameter] = {}
    by: dict[str, Tensor] = {}
    for ref, extra in changes.items():
        part = modules[ref]
        wanted = tuple(part.weight.shape)
        if tuple(extra.shape) != wanted:
            raise InputError(
                f"the change of {ref.name} has shape {tuple(extra.shape)} and its weight "
                f"{wanted}; give the change of the same model"
            )
        name = ref.name.partition("[")[0]  # The parts of a fused projection share a weight.
        weights[name] = part.parameter
        whole = part.spread(extra)
        by[name] = by[name] + whole if name in by else whole
    return weights, by


def _balanced(logits: Tensor, harmful: int) -> float:
    caught = (logits[:harmful] > 0).float().mean()
    passed = (logits[harmful:] <= 0).float().mean()
    return float((caught + passed) / 2)


def noise_unit(ref: ModuleRef, like: Tensor, seed: int) -> Tensor:
    """Return a normal draw of Frobenius norm 1 that depends on the module and the seed alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "noise", ref.name))
    draw = torch.randn(like.shape, generator=generator)
    return (draw / draw.norm()).to(like.device)


def noise(modules: Modules, rho: float) -> Change:
    r"""Return the perturbation :math:`\varepsilon` with norm :math:`\rho\lVert W\rVert_F`."""
    if not 0 < rho < float("inf"):
        raise InputError(f"rho={rho!r} must be a positive number: noise of norm rho * |W|")

    def change(ref: ModuleRef, seed: int) -> Tensor:
        weight = modules[ref].weight.detach()
        unit = noise_unit(ref, weight, seed)
        return (unit * (rho * float(weight.float().norm()))).to(weight.dtype)

    return change


def delta(changes: Mapping[str, Tensor]) -> Change:
    """Return the perturbation that puts in each module's own ΔW.

    Args:
        changes: Name of a module or part → ΔW as it is stored; zeros where it did not change.

    Raises:
        InputError: When it is used on a module that has no ΔW.
    """

    def change(ref: ModuleRef, _seed: int) -> Tensor:
        if ref.name not in changes:
            raise InputError(f"no change of {ref.name!r} is given; give each module's, zeros too")
        return changes[ref.name]

    return change


def perturbable(modules: Modules) -> Modules:
    """Return the modules, all of whose weights noise can be added to.

    Raises:
        ModelError: A module's weight is quantized.
    """
    for ref, module in modules.items():
        if not module.weight.is_floating_point():
            raise ModelError(
                f"module {ref.name!r} holds {module.weight.dtype} weights; analyze the model in "
                "float32, bfloat16 or float16"
            )
    return modules
