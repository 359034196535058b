"""Panacea: a small perturbation takes harm back out of a finished model."""

from holdfast.defenses.panacea.apply import apply_panacea
from holdfast.defenses.panacea.frontier import Point, choose_scale, measure
from holdfast.defenses.panacea.panacea import Panacea, harmful_ascent
from holdfast.defenses.safety_patch import safety_patch

__all__ = [
    "Panacea", "Point", "apply_panacea", "choose_scale", "harmful_ascent", "measure",
    "safety_patch",
]  # fmt: skip
