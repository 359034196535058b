"""Lisa (Huang et al., arXiv 2405.18641, NeurIPS 2024), from its two-state objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Examples,
    Stage,
    Step,
    in_range,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.errors import ConfigError, DivergedError
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.weights import copied
from holdfast.training.steering.steerable import Steerable


class Turn(NamedTuple):
    """What one optimizer step is for."""

    aligning: bool
    """True in the alignment state, False in the user's."""
    begins: bool
    """True for the first step after a switch of states."""
    draw: int
    """Alignment steps before this one: the index of its alignment batch."""


def turn_at(number: int, alignment_steps: int, user_steps: int) -> Turn:
    """Return the state of optimizer step ``number``; every cycle begins with the alignment state.

    It depends on nothing but the step's number, so a resumed run is in the state it left.

    Args:
        number: Optimizer steps finished so far.
        alignment_steps: Steps K1 of each alignment state, 1 or more.
        user_steps: Steps K2 of each user state, 1 or more.
    """
    cycle, at = divmod(number, alignment_steps + user_steps)
    done = cycle * alignment_steps + min(at, alignment_steps)
    return Turn(at < alignment_steps, at in (0, alignment_steps), done)


def proximal_gradient(
    weights: Mapping[str, Tensor], anchor: Mapping[str, Tensor], rho: float
) -> Tensors:
    r"""Return :math:`\nabla_w \frac{\rho}{2}\lVert w - w_s\rVert_2^2 = \rho\,(w - w_s)`.

    Args:
        weights: The trainable tensors w.
        anchor: :math:`w_s`, the weights at the last switch, by the same names and shapes.
        rho: Intensity ρ of the term, 0 or more.
    """
    return {name: rho * (w.detach() - anchor[name].to(w.device)) for name, w in weights.items()}


@dataclass
class Lisa(Steerable):
    """Refreshes refusals for some steps, learns the user's rows for others, and drifts slowly."""

    alignment: Examples | None = None
    """Examples that pair a harmful request with a refusal (paper: 10 000)."""
    alignment_steps: int = 100
    """Optimizer steps of each alignment state; 0 turns everything off (paper: 100)."""
    user_steps: int = 900
    """Optimizer steps of each user state, 1 or more (paper: 900)."""
    rho: float = 1.0
    """Intensity ρ of the proximal term; 0 leaves bare alternation (paper: 1)."""
    batch_size: int = 10
    """Alignment rows per alignment step. Ours."""

    anchor_: Tensors = field(default_factory=dict[str, Tensor], init=False)
    """The trained tensors at the last switch, with nothing attached to them."""
    cycle_: dict[str, int] = field(default_factory=dict[str, int], init=False)
    """The cycle at hand where its length is steered; empty where nobody steers."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest alignment loss and distance from the last switch."""

    steered: ClassVar[str] = "alignment_steps"
    card: ClassVar[Card] = Card(
        name="lisa",
        summary="Alignment and user steps take turns, each held near the last switch.",
        stage=Stage.TUNE,
        paper="Lisa, arXiv 2405.18641",
        strength="alignment_steps",
        cost="none per step; 1 + alignment_steps/user_steps at equal user steps",
        data=("alignment",),
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.SKIPS}),
    )

    def validate(self) -> None:
        """Check ranges, and that there is something to align on."""
        in_range(self, "rho", 0.0)
        for name, low in (("alignment_steps", 0), ("user_steps", 1), ("batch_size", 1)):
            whole_in_range(self, name, low)
        if self.alignment_steps > 0:
            need_data(self, "alignment")

    def idle(self) -> frozenset[str]:
        """Nothing runs without an alignment state: there is no switch to stay near."""
        return frozenset() if self.alignment_steps > 0 else frozenset({"gradient"})

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Leave :math:`\nabla f + \rho(w - w_s)` of the state that the step belongs to.

        Deviation from the hook's rule: ``backward`` is not called in the alignment state. Its
        gradient and those of the defenses inside would be thrown away, at the price of a pass.
        """
        self._check_length(step.total)
        turn = self._turn(step)
        if turn.begins and step.micro == 0:
            with step.run.bare():  # A checkpoint keeps the anchor beside the weights it serves.
                self.anchor_ = copied(step.engine.parameters())
        if not turn.aligning:
            loss = backward()
        elif step.last:  # One alignment batch per update, however many micro-batches it has.
            loss = self._align(step, turn.draw)
        else:
            loss = torch.zeros((), device=next(step.model.parameters()).device)
        if step.last:
            self._pull(step)
        return loss

    @property
    def steerable(self) -> tuple[float, float] | None:
        """An alignment state may be as long as a user's; a new length begins with a cycle."""
        return 1.0, float(max(self.user_steps, self.alignment_steps))

    def _turn(self, step: Step) -> Turn:
        """Return the state of this step; a length that is steered holds from a cycle's begin."""
        if not self.steered_:
            return turn_at(step.number, int(self.alignment_steps), int(self.user_steps))
        cycle = self.cycle_
        if not cycle or step.number >= cycle["end"]:
            length = round(self.strength_now)
            done = cycle["drawn"] + cycle["length"] if cycle else 0
            self.cycle_ = cycle = {
                "begin": step.number, "length": length, "drawn": done,
                "end": step.number + length + int(self.user_steps),
            }  # fmt: skip
        at = step.number - cycle["begin"]
        length = cycle["length"]
        return Turn(at < length, at in (0, length), cycle["drawn"] + min(at, length))

    def _check_length(self, total: int) -> None:
        if total <= self.alignment_steps:
            raise ConfigError(
                f"lisa: the run has {total} optimizer steps and its first alignment state "
                f"{self.alignment_steps}, so the user's rows would never be learned; lower "
                "alignment_steps and user_steps, or train longer"
            )

    def _align(self, step: Step, draw: int) -> Tensor:
        """Add the gradient of one alignment batch, and return its loss."""
        batches = step.run.batches(need_data(self, "alignment"), int(self.batch_size))
        gradient, loss = step.engine.gradients([batches[draw % len(batches)]])
        found = torch.tensor(loss, device=next(step.model.parameters()).device)
        if not bool(torch.isfinite(found)):
            raise DivergedError(
                f"lisa: the alignment loss became NaN or infinite at step {step.number}: lower the "
                f"learning rate, or look at batch {draw % len(batches) + 1} of the alignment rows"
            )
        step.engine.add_gradient(gradient)
        self.figures_["alignment_loss"] = loss
        return found

    def _pull(self, step: Step) -> None:
        """Add the proximal term's gradient, once per update."""
        weights = step.engine.parameters()
        # A checkpoint's tensors lie whole on the CPU; moved once, not at every step.
        self.anchor_ = {n: laid_out(a, weights[n]) for n, a in self.anchor_.items()}
        with step.run.bare():
            drift = proximal_gradient(weights, self.anchor_, 1.0)
        self.figures_["drift"] = global_norm(drift)
        if self.rho > 0:
            step.engine.add_gradient(drift, self.rho)

    def metrics(self) -> dict[str, float]:
        """Return the latest alignment loss, and the distance from the last switch."""
        return dict(self.figures_)
