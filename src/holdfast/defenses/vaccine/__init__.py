"""Vaccine: alignment learned under the worst small change of the hidden states."""

from holdfast.defenses.vaccine.vaccine import Vaccine, perturbation

__all__ = ["Vaccine", "perturbation"]
