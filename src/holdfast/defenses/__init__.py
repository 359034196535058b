"""The defenses, one folder each: a pure function that is the equation, a thin class, a card."""

from holdfast.defense import Card, Defense
from holdfast.defenses.booster import Booster
from holdfast.defenses.constrained_sft import ConstrainedSFT
from holdfast.defenses.ema import EMA
from holdfast.defenses.installed import GROUP, RESERVED, fault
from holdfast.defenses.lisa import Lisa
from holdfast.defenses.memory_anchor import MemoryAnchor
from holdfast.defenses.ml_lr import MLLR
from holdfast.defenses.natural_repair import NaturalRepair
from holdfast.defenses.one_shot import OneShot
from holdfast.defenses.panacea import Panacea
from holdfast.defenses.preventative_steering import PreventativeSteering
from holdfast.defenses.random_perturbation import RandomPerturbation
from holdfast.defenses.refusal_sft import RefusalSFT
from holdfast.defenses.resta import RESTA
from holdfast.defenses.row_weights import RowWeights
from holdfast.defenses.safe_delta import SafeDelta
from holdfast.defenses.safe_grad import SafeGrad
from holdfast.defenses.safe_lora import SafeLoRA
from holdfast.defenses.safe_mixing import SafeMixing
from holdfast.defenses.safety_projection import SafetyProjection
from holdfast.defenses.security_vectors import SecurityVectors
from holdfast.defenses.state_anchor import StateAnchor
from holdfast.defenses.swat import SWAT
from holdfast.defenses.vaccine import Vaccine
from holdfast.errors import ConfigError
from holdfast.files.entry_points import Registry

__all__ = ["DEFENSES", "built_in", "card_of", "find", "registry"]

_OWN: tuple[type[Defense], ...] = (
    SafeMixing, RandomPerturbation, SecurityVectors, Panacea, MLLR, SWAT,
    SafeLoRA, RESTA, Lisa, ConstrainedSFT, Vaccine, Booster, NaturalRepair, RefusalSFT,
    PreventativeSteering, MemoryAnchor, StateAnchor, SafeGrad, RowWeights, SafetyProjection, EMA,
    OneShot, SafeDelta,
)  # fmt: skip
DEFENSES: Registry[type[Defense]] = Registry(
    GROUP, "defense", {defense.card.name: defense for defense in _OWN}, fault, RESERVED
)


def built_in() -> dict[str, type[Defense]]:
    """Return holdfast's own defenses by the name on their card."""
    return dict(DEFENSES.own)


def registry() -> dict[str, type[Defense]]:
    """Return every defense's class by the name on its card: ours, then installed ones that work."""
    return DEFENSES.all()


def find(name: str) -> type[Defense]:
    """Return the defense of this name.

    Raises:
        ConfigError: There is none (the message suggests the nearest), or it is an installed one
            that cannot be used.
    """
    return DEFENSES.find(name)


def card_of(name: str) -> Card | None:
    """Return a defense's card; None for one of a package that is not installed here."""
    try:
        return find(name).card
    except ConfigError:
        return None
