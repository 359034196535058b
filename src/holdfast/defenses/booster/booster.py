"""Booster (Huang et al., arXiv 2409.01586, ICLR 2025), from its objective and first-order step."""

from dataclasses import dataclass, field
from math import isfinite
from typing import ClassVar

from torch import Tensor

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Defense,
    Examples,
    Stage,
    Step,
    in_range,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.errors import ConfigError, DivergedError
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.lookahead import Lookahead, add_gradient_change


def attenuate(engine: Engine, harmful: Batch, alpha: float, lam: float) -> Lookahead:
    r"""Add :math:`\lambda\,(\nabla h(w) - \nabla h(w - \delta))` to ``.grad``.

    It is the gradient of :math:`\lambda\,[h(w) - h(w - \delta)]`, what one harmful step
    :math:`\delta = \alpha\,\nabla h(w)/\lVert\nabla h(w)\rVert_2` gains, with δ held fixed. Two
    passes over ``harmful``.

    Args:
        engine: The engine of the model at :math:`w`.
        harmful: One batch of the defender's harmful pairs; :math:`h` is its mean loss.
        alpha: Length α > 0 of the harmful step, one global L2 norm over all trainable tensors.
        lam: Weight λ ≥ 0 of the term.
    """
    return add_gradient_change(engine, harmful, alpha, lam, sign=-1.0)


@dataclass
class Booster(Defense):
    """Learns the alignment rows where a harmful step lowers the harmful loss little."""

    harmful: Examples | None = None
    """The defender's harmful pairs: Examples of harmful request → compliant answer (paper: 5k)."""
    lam: float = 5.0
    """Weight λ of what a harmful step gains; 0 is plain alignment (paper: 5)."""
    alpha: float = 0.1
    """Length α of the harmful step in raw parameter space (paper: 0.1)."""
    batch_size: int = 10
    """Harmful rows per pass. Ours."""

    losses_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest harmful loss at w and one harmful step ahead."""

    card: ClassVar[Card] = Card(
        name="booster",
        summary="Aligns where a step towards harm gains little.",
        stage=Stage.ALIGN,
        paper="Booster, arXiv 2409.01586",
        strength="lam",
        cost="two harmful passes per step",
        data=("harmful",),
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check ranges, and that there are harmful rows unless the strength is 0."""
        in_range(self, "lam", 0.0)
        in_range(self, "alpha", 0.0)
        whole_in_range(self, "batch_size", 1)
        if self.alpha == 0:
            raise ConfigError(
                "booster: alpha=0 takes no harmful step, so there is no gain to attenuate; give a "
                "length above 0, or lam=0 for plain alignment"
            )
        if self.lam > 0:
            need_data(self, "harmful")

    def conflict(self, other: Defense) -> str | None:
        """The harmful gradient is blind to what an attached vector has taken away."""
        if Capability.ATTACHMENT in other.card.needs:
            return (
                f"with {other.card.name} attached the harmful loss is near 0 and its gradient "
                "noise; align with booster first and tune the model that it writes with "
                f"{other.card.name}"
            )
        return super().conflict(other)

    def idle(self) -> frozenset[str]:
        """Nothing runs at λ = 0."""
        return frozenset() if self.lam > 0 else frozenset({"gradient"})

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Add the term's gradient to :math:`\nabla f` once per update, not per micro-batch."""
        loss = backward()
        if step.last:
            batches = step.run.batches(need_data(self, "harmful"), int(self.batch_size))
            self._attenuate(step, step.number % len(batches), batches)
        return loss

    def _attenuate(self, step: Step, draw: int, batches: list[Batch]) -> None:
        seen = attenuate(step.engine, batches[draw], self.alpha, self.lam)
        here, ahead = seen.loss_here, float(seen.loss_there or 0.0)
        if not (isfinite(here) and isfinite(ahead)):
            raise DivergedError(
                f"booster: the harmful loss became NaN or infinite at step {step.number} ({here} "
                f"at the weights, {ahead} a harmful step ahead): lower the learning rate, lam or "
                f"alpha, or look at batch {draw + 1} of the harmful rows"
            )
        self.losses_ = {"harmful_loss": here, "harmful_loss_ahead": ahead}

    def metrics(self) -> dict[str, float]:
        """Return the harmful losses of the latest update; their difference is what is held down."""
        return dict(self.losses_)
