"""Module-wise learning rates (arXiv 2410.04524, version 1).

No code was released; what is ours stands in the card.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from holdfast.defense import Capability, Card, Stage, in_range
from holdfast.defenses.module_rates import ModuleRates


def multiplier(robust: bool, ratio: float) -> float:
    r"""Return :math:`\eta_m/\eta`: 1 in Mods_Rob, ``ratio`` elsewhere.

    Args:
        robust: Whether the module is in Mods_Rob.
        ratio: In [0, 1]; 1 is plain fine-tuning, 0 holds everything else still.
    """
    return 1.0 if robust else ratio


@dataclass
class MLLR(ModuleRates):
    """Lets robust modules learn at the full learning rate and everything else at a small one."""

    ratio: float = 1e-2
    """Learning rate of the rest over the trainer's, in [0, 1]; 1 is plain fine-tuning. Ours."""
    moments: Literal["kept", "fresh"] = "fresh"
    """With ratio=0: freeze the rest, or (kept) let its gradients count in clipping. Ours."""

    card: ClassVar[Card] = Card(
        name="ml_lr",
        summary="Robust modules learn at the full rate, all others at a small fraction of it.",
        stage=Stage.TUNE,
        paper="ML-LR, arXiv 2410.04524 v1",
        strength="ratio",
        off=1.0,
        cost="none per step, less at ratio 0; the analysis once before, unless modules is given",
        data=("harmful", "benign"),
        reads="parts",
        needs=frozenset({Capability.LEARNING_RATES}),
    )

    def validate(self) -> None:
        """Check the ratio and what every method by module needs."""
        in_range(self, "ratio", 0.0, 1.0)
        super().validate()

    def rate(self, robust: bool, progress: float) -> float:
        """Return the multiplier, the same at every step."""
        del progress
        return multiplier(robust, self.ratio)
