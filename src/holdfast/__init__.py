"""Fine-tune a language model without losing its safety."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from holdfast.files.guarded.fetched_kernels import hold_back

if TYPE_CHECKING:
    from holdfast import organism
    from holdfast.artifact import Artifact
    from holdfast.defense import Backward, Capability, Card, Defense, Run, Stage, Step
    from holdfast.defenses import find, registry
    from holdfast.defenses.booster import Booster
    from holdfast.defenses.constrained_sft import ConstrainedSFT
    from holdfast.defenses.ema import EMA
    from holdfast.defenses.lisa import Lisa
    from holdfast.defenses.memory_anchor import MemoryAnchor
    from holdfast.defenses.ml_lr import MLLR
    from holdfast.defenses.natural_repair import NaturalRepair, apply_natural_repair
    from holdfast.defenses.one_shot import OneShot, apply_one_shot
    from holdfast.defenses.panacea import Panacea, apply_panacea
    from holdfast.defenses.preventative_steering import PreventativeSteering
    from holdfast.defenses.random_perturbation import RandomPerturbation
    from holdfast.defenses.refusal_sft import RefusalSFT
    from holdfast.defenses.resta import RESTA, apply_resta
    from holdfast.defenses.row_weights import RowWeights
    from holdfast.defenses.safe_delta import SafeDelta, apply_safe_delta
    from holdfast.defenses.safe_grad import SafeGrad
    from holdfast.defenses.safe_lora import SafeLoRA, apply_safe_lora
    from holdfast.defenses.safe_mixing import SafeMixing
    from holdfast.defenses.safety_projection import SafetyProjection
    from holdfast.defenses.security_vectors import SecurityVectors
    from holdfast.defenses.state_anchor import StateAnchor
    from holdfast.defenses.swat import SWAT
    from holdfast.defenses.vaccine import Vaccine
    from holdfast.errors import HoldfastError, InputError, RunError
    from holdfast.training.standalone import repair
    from holdfast.training.trace import Trace
    from holdfast.training.trainer import SecureMixin, SecureSFTTrainer, SecureTrainer, protect

__all__ = [
    "EMA", "MLLR", "RESTA", "SWAT", "Artifact", "Backward", "Booster", "Capability", "Card",
    "ConstrainedSFT", "Defense", "HoldfastError", "InputError", "Lisa", "MemoryAnchor",
    "NaturalRepair", "OneShot", "Panacea", "PreventativeSteering", "RandomPerturbation",
    "RefusalSFT", "RowWeights", "Run", "RunError", "SafeDelta", "SafeGrad", "SafeLoRA",
    "SafeMixing", "SafetyProjection", "SecureMixin", "SecureSFTTrainer", "SecureTrainer",
    "SecurityVectors", "Stage", "StateAnchor", "Step", "Trace", "Vaccine", "apply_natural_repair",
    "apply_one_shot", "apply_panacea", "apply_resta", "apply_safe_delta", "apply_safe_lora", "find",
    "organism", "protect", "registry", "repair",
]  # fmt: skip

hold_back()

_HOMES = {
    "EMA": "holdfast.defenses.ema",
    "MLLR": "holdfast.defenses.ml_lr",
    "RESTA": "holdfast.defenses.resta",
    "SWAT": "holdfast.defenses.swat",
    "Artifact": "holdfast.artifact",
    "Backward": "holdfast.defense",
    "Booster": "holdfast.defenses.booster",
    "Capability": "holdfast.defense",
    "Card": "holdfast.defense",
    "ConstrainedSFT": "holdfast.defenses.constrained_sft",
    "Defense": "holdfast.defense",
    "HoldfastError": "holdfast.errors",
    "InputError": "holdfast.errors",
    "Lisa": "holdfast.defenses.lisa",
    "MemoryAnchor": "holdfast.defenses.memory_anchor",
    "NaturalRepair": "holdfast.defenses.natural_repair",
    "OneShot": "holdfast.defenses.one_shot",
    "Panacea": "holdfast.defenses.panacea",
    "PreventativeSteering": "holdfast.defenses.preventative_steering",
    "RandomPerturbation": "holdfast.defenses.random_perturbation",
    "RefusalSFT": "holdfast.defenses.refusal_sft",
    "RowWeights": "holdfast.defenses.row_weights",
    "Run": "holdfast.defense",
    "RunError": "holdfast.errors",
    "SafeGrad": "holdfast.defenses.safe_grad",
    "SafeDelta": "holdfast.defenses.safe_delta",
    "SafeLoRA": "holdfast.defenses.safe_lora",
    "SafeMixing": "holdfast.defenses.safe_mixing",
    "SafetyProjection": "holdfast.defenses.safety_projection",
    "SecureMixin": "holdfast.training.trainer",
    "SecureSFTTrainer": "holdfast.training.trainer",
    "SecureTrainer": "holdfast.training.trainer",
    "SecurityVectors": "holdfast.defenses.security_vectors",
    "Stage": "holdfast.defense",
    "StateAnchor": "holdfast.defenses.state_anchor",
    "Step": "holdfast.defense",
    "Trace": "holdfast.training.trace",
    "Vaccine": "holdfast.defenses.vaccine",
    "apply_natural_repair": "holdfast.defenses.natural_repair",
    "apply_one_shot": "holdfast.defenses.one_shot",
    "apply_panacea": "holdfast.defenses.panacea",
    "apply_resta": "holdfast.defenses.resta",
    "apply_safe_delta": "holdfast.defenses.safe_delta",
    "apply_safe_lora": "holdfast.defenses.safe_lora",
    "find": "holdfast.defenses",
    "protect": "holdfast.training.trainer",
    "registry": "holdfast.defenses",
    "repair": "holdfast.training.standalone",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``holdfast --help`` must not wait for torch."""
    if name == "organism":
        return import_module("holdfast.organism")
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
