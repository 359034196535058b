"""Fine-tune a language model without losing its safety."""

from holdfast import organism
from holdfast.artifact import Artifact
from holdfast.defense import Backward, Capability, Card, Defense, Run, Stage, Step
from holdfast.defenses import find, registry
from holdfast.defenses.panacea import Panacea, apply_panacea
from holdfast.defenses.random_perturbation import RandomPerturbation
from holdfast.defenses.safe_mixing import SafeMixing
from holdfast.defenses.security_vectors import SecurityVectors
from holdfast.errors import HoldfastError, InputError, RunError
from holdfast.standalone import repair
from holdfast.trace import Trace
from holdfast.trainer import SecureMixin, SecureSFTTrainer, SecureTrainer, protect

__all__ = [
    "Artifact",
    "Backward",
    "Capability",
    "Card",
    "Defense",
    "HoldfastError",
    "InputError",
    "Panacea",
    "RandomPerturbation",
    "Run",
    "RunError",
    "SafeMixing",
    "SecureMixin",
    "SecureSFTTrainer",
    "SecureTrainer",
    "SecurityVectors",
    "Stage",
    "Step",
    "Trace",
    "apply_panacea",
    "find",
    "organism",
    "protect",
    "registry",
    "repair",
]
