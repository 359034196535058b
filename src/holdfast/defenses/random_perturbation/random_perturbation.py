"""Gaussian noise of a given norm on the trained weights, Panacea's control (2501.18100, §3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from holdfast.artifact import Artifact
from holdfast.defense import Capability, Card, Defense, Run, Stage, in_range
from holdfast.ops.gradients import Tensors, global_norm, scaled
from holdfast.ops.randomness import gaussian


def random_direction(like: Mapping[str, Tensor], norm: float, seed: int) -> Tensors:
    r"""Return :math:`\varepsilon = \rho\,z/\lVert z\rVert_2` with :math:`z \sim N(0, I)`.

    Args:
        like: The tensors whose names, shapes and devices the direction takes.
        norm: The global length :math:`\rho \ge 0`.
        seed: Seed of the draw; the same on every device.
    """
    drawn = gaussian(like, seed)
    return scaled(drawn, norm / global_norm(drawn))


@dataclass
class RandomPerturbation(Defense):
    """Adds noise of norm ``rho`` to the trained weights, in a direction that knows nothing."""

    rho: float = 1.0
    """Norm of the noise in raw parameter space, 0 or more; give Panacea's own to compare."""
    seed: int = 0
    """Seed of the draw, added to the run's seed."""

    card: ClassVar[Card] = Card(
        name="random_perturbation",
        summary="Control: noise of a given norm on the trained weights.",
        stage=Stage.REPAIR,
        paper="control, Panacea §3.2, arXiv 2501.18100",
        strength="rho",
        cost="none per step; one edit of the weights at the end",
        needs=frozenset({Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check that the norm is 0 or more."""
        in_range(self, "rho", 0.0)

    def after(self, run: Run) -> Artifact:
        """Add the noise once."""
        noise = random_direction(run.engine.parameters(), self.rho, run.seed + self.seed)
        if self.rho > 0:
            run.engine.edit(noise)
        return Artifact(
            self.card.name,
            tensors={"perturbation": noise},
            report={"norm": global_norm(noise)},
        )
