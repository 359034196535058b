"""SWAT: secure warm-up of robust modules (arXiv 2410.04524, version 2, and ACL 2026).

No code was released; what is ours stands in the card.
"""

from dataclasses import dataclass
from typing import ClassVar

from holdfast.defense import Capability, Card, Stage, in_range
from holdfast.defenses.module_rates import ModuleRates


def multiplier(robust: bool, progress: float, warmup: float) -> float:
    r"""Return :math:`\eta_m/\eta`: 0 for a module outside Mods_Rob in the warm-up, else 1.

    Args:
        robust: Whether the module is in Mods_Rob.
        progress: Optimizer steps done, as a share of the run's, in [0, 1).
        warmup: Length of the warm-up, as a share of the run's optimizer steps, in [0, 1].
    """
    return 1.0 if robust or progress >= warmup else 0.0


@dataclass
class SWAT(ModuleRates):
    """Warms up robust modules alone, then tunes everything on from there."""

    warmup: float = 0.75
    """Share of the run's optimizer steps in which only Mods_Rob learns, in [0, 1]. Ours."""

    card: ClassVar[Card] = Card(
        name="swat",
        summary="Robust modules learn alone in a warm-up, then everything learns.",
        stage=Stage.TUNE,
        paper="SWAT, arXiv 2410.04524 v2",
        strength="warmup",
        cost="none per step, less with moments=fresh; the analysis once before, as for ml_lr",
        data=("harmful", "benign"),
        reads="parts",
        needs=frozenset({Capability.LEARNING_RATES}),
    )

    def validate(self) -> None:
        """Check the warm-up and what every method by module needs."""
        in_range(self, "warmup", 0.0, 1.0)
        super().validate()

    def rate(self, robust: bool, progress: float) -> float:
        """Return the multiplier at ``progress``."""
        return multiplier(robust, progress, self.warmup)
