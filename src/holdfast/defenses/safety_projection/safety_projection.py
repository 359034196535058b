"""Safety projection (SPAG, arXiv 2605.28030, ICML 2026), from its constrained update."""

from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Defense,
    Examples,
    Stage,
    Step,
    Variant,
    in_range,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.errors import ConfigError, DivergedError
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.weights import copied


def correction_factor(loss: float, tau: float, norm: float, longest: float = inf) -> float:
    r"""Return c of the correction :math:`\theta \leftarrow \theta - c\,g`, :math:`g = \nabla\ell`.

    .. math:: c = \min\left(\frac{\ell - \tau}{\lVert g\rVert^2},
        \frac{\text{longest}}{\lVert g\rVert}\right) \text{ where } \ell > \tau, \text{ else } 0

    The first is the shortest step to the half-space where :math:`\ell` made linear is at most τ, so
    a linear :math:`\ell` ends at τ. It is 0 where g is 0: there is no direction.

    Args:
        loss: The loss on refusals, nats per token.
        tau: Level τ that it may have.
        norm: ‖g‖, one L2 norm over all trained tensors.
        longest: Longest correction ‖c·g‖, 0 or more.
    """
    if loss <= tau or norm == 0:
        return 0.0
    return min((loss - tau) / norm, longest) / norm


@dataclass
class SafetyProjection(Defense):
    """Takes a step down the loss on refusals after each update that left it above a level."""

    safe: Examples | None = None
    """Examples that pair a harmful request with a refusal (paper: 3 % of the user's rows)."""
    tau: float = 0.2
    """Level τ that the loss on refusals may have, nats per token; infinity is off (paper: 0.2)."""
    kappa: float | None = 1.0
    """Longest correction in lengths of the user's last update; none leaves it uncapped. Ours."""
    mode: Literal["project", "alternate"] = "project"
    """Correct the weights (the paper), or step the optimizer on refusals (the paper's code)."""
    batch_size: int = 1
    """Refusals per pass, in the order given and again from the start (paper: 1)."""

    counts_: dict[str, int] = field(default_factory=dict[str, int], init=False)
    """Updates of the user's so far, and corrections."""
    turn_: dict[str, bool] = field(default_factory=dict[str, bool], init=False)
    """Of ``alternate``: whether this step is one on refusals."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest loss on refusals, and the latest correction's length, also over the update's."""
    _kept: Tensors = field(default_factory=dict[str, Tensor], init=False, repr=False)
    # Within one step: the weights before the update, or the gradient of the refusals.
    _decided: tuple[int, int] = field(default=(0, -1), init=False, repr=False)
    # Of ``alternate``: the run and the step that is decided on, which may have its passes twice.

    card: ClassVar[Card] = Card(
        name="safety_projection",
        summary="Corrects each update that leaves the loss on refusals above a level.",
        stage=Stage.TUNE,
        paper="SPAG, arXiv 2605.28030",
        strength="tau",
        off=inf,
        cost="one pass over refusals per step",
        data=("safe",),
        needs=frozenset({Capability.EXTRA_BACKWARD}),
    )

    def validate(self) -> None:
        """Check ranges, and that there are refusals unless τ is infinite."""
        _check_level(self.tau)
        if self.mode not in ("project", "alternate"):
            raise ConfigError(
                f"safety_projection: mode={self.mode!r} must be 'project' or 'alternate'"
            )
        whole_in_range(self, "batch_size", 1)
        if self.kappa is not None:
            self._check_cap()
        if not self.is_off:
            need_data(self, "safe")

    def _check_cap(self) -> None:
        in_range(self, "kappa", 0.0)
        if self.kappa == 0:
            raise ConfigError(
                "safety_projection: kappa=0 makes every correction 0 long, so nothing is defended; "
                "give a cap above 0, or tau=inf for plain fine-tuning"
            )
        if self.mode == "alternate" and self.kappa != 1.0:
            raise ConfigError(
                f"safety_projection: kappa={self.kappa!r} caps corrections, and mode='alternate' "
                "makes none: the optimizer decides how long its step is; leave kappa out"
            )

    def needs(self) -> frozenset[Capability]:
        """Projecting edits weights; alternating leaves the user's own pass out."""
        own = Capability.SKIPS if self.mode == "alternate" else Capability.EDITS_WEIGHTS
        return self.card.needs | {own}

    def idle(self) -> frozenset[str]:
        """Nothing runs at an infinite τ; alternating corrects nothing, and no cap needs no copy."""
        if self.is_off:
            return frozenset({"gradient", "after_update"})
        if self.mode == "alternate":
            return frozenset({"after_update"})
        return frozenset({"gradient"}) if self.kappa is None else frozenset()

    def variant(self) -> Variant:
        """Name the paper's code, and the paper without a cap."""
        label = "alternate" if self.mode == "alternate" else "" if self.kappa else "uncapped"
        return Variant(label, control=self.is_off)

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        """Keep the weights before the update; of ``alternate``, step on refusals in its turn.

        Deviation from the hook's rule: ``backward`` is not called in the turn of refusals. Its
        gradient would be thrown away, at the price of a pass.
        """
        if self.mode == "alternate":
            return self._alternate(step, backward)
        loss = backward()
        if step.last:
            self._kept = copied(step.engine.parameters())
        return loss

    def after_update(self, step: Step) -> None:
        r"""Put :math:`\theta \leftarrow \theta - c\,\nabla\ell`, ``correction_factor``'s c."""
        before, self._kept = self._kept, {}
        gradient, loss = self._look(step)
        norm, longest, moved = global_norm(gradient), inf, 0.0
        if self.kappa is not None:
            now = step.engine.parameters()
            moved = global_norm({name: now[name].detach() - w for name, w in before.items()})
            longest = self.kappa * moved
        factor = correction_factor(loss, self.tau, norm, longest)
        self.figures_["length"] = factor * norm
        if moved > 0:
            self.figures_["length_over_update"] = factor * norm / moved
        self._count(step, factor > 0, user=True)
        if factor > 0:
            step.engine.edit(gradient, -factor)

    def _look(self, step: Step) -> tuple[Tensors, float]:
        """Return the gradient and the loss of one batch of refusals at the weights of now."""
        batches = step.run.batches(need_data(self, "safe"), int(self.batch_size))
        draw = step.number % len(batches)
        gradient, loss = step.engine.gradients([batches[draw]])
        if not isfinite(loss):
            raise DivergedError(
                "safety_projection: the loss on refusals became NaN or infinite at step "
                f"{step.number}: lower the learning rate or kappa, or look at batch {draw + 1} of "
                "the safe rows"
            )
        self.figures_["loss"] = loss
        return gradient, loss

    def _alternate(self, step: Step, backward: Backward) -> Tensor:
        """Run the user's pass, or in the turn of refusals one of theirs in its place."""
        if step.micro == 0:
            self._decide(step)
        if not self.turn_["aligning"]:
            return backward()
        device = next(step.model.parameters()).device
        if not step.last:  # One batch of refusals per update, however many micro-batches it has.
            return torch.zeros((), device=device)
        step.engine.add_gradient(self._kept)
        return torch.tensor(self.figures_["loss"], device=device)

    def _decide(self, step: Step) -> None:
        """Give this step to refusals where the user's last one left their loss above τ.

        Between two of theirs stands one of the user's, as in the paper's code: refusals that the
        model cannot learn must not keep the user's rows out for good. A defense further out may run
        a step's passes twice, and both are of one turn.
        """
        asked = id(step.run), step.number
        if asked == self._decided:
            return
        self._decided = asked
        after_users = step.number > 0 and self.turn_.get("aligning") is False
        gradient, loss = self._look(step) if after_users else ({}, 0.0)
        aligning = after_users and loss > self.tau
        self.turn_ = {"aligning": aligning}
        self._kept = gradient if aligning else {}
        self._count(step, aligning, user=not aligning)

    def _count(self, step: Step, corrected: bool, *, user: bool) -> None:
        so_far = self.counts_ if step.number > 0 else {}
        now = {"updates": int(user), "corrections": int(corrected)}
        self.counts_ = {name: so_far.get(name, 0) + one for name, one in now.items()}

    def metrics(self) -> dict[str, float]:
        """Return the latest loss on refusals, the share of updates corrected, and how far."""
        done = self.counts_.get("updates", 0)
        share = {"corrected": self.counts_.get("corrections", 0) / done} if done else {}
        return {**self.figures_, **share}


def _check_level(tau: Any) -> None:
    number = isinstance(tau, int | float) and not isinstance(tau, bool)
    if not number or isnan(tau) or tau < 0:
        raise ConfigError(
            f"safety_projection: tau={tau!r} must be a number 0 or more, in nats per token; "
            "infinity is off"
        )
