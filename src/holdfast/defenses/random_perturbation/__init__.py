"""Random perturbation: the control that Panacea must beat."""

from holdfast.defenses.random_perturbation.random_perturbation import (
    RandomPerturbation,
    random_direction,
)

__all__ = ["RandomPerturbation", "random_direction"]
