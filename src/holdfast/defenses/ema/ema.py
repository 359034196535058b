"""A moving average of the weights, served in their place (arXiv 2508.12531, COLM 2025).

The paper's decay, how often it averages and whether the average goes back into training are not in
our notes: the form is the standard one, and what it is worth is measured here.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.defense import Capability, Card, Defense, Run, Stage, Step, Variant, in_range
from holdfast.errors import ConfigError
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.weights import copied, put


def averaged(average: Tensor, weights: Tensor, decay: float) -> Tensor:
    r"""Return :math:`\bar\theta_t = \eta\,\bar\theta_{t-1} + (1-\eta)\,\theta_t` of one tensor.

    From :math:`\bar\theta_0 = \theta_0` it unrolls to
    :math:`\bar\theta_T = \eta^T\theta_0 + (1-\eta)\sum_{t=1}^{T}\eta^{T-t}\theta_t`.

    Args:
        average: :math:`\bar\theta_{t-1}`.
        weights: :math:`\theta_t`, of the same shape.
        decay: η in [0, 1]; at 1 the average stays as it is, bit for bit.
    """
    return torch.lerp(average, weights.detach(), 1 - decay)


def shrunk(start: Tensor, weights: Tensor, share: float) -> Tensor:
    r"""Return :math:`\theta_0 + s\,(\theta_T - \theta_0)` of one tensor: the control.

    Args:
        start: :math:`\theta_0`.
        weights: :math:`\theta_T`, of the same shape.
        share: s; 0 gives the start, bit for bit.
    """
    return torch.lerp(start, weights.detach(), share)


@dataclass
class EMA(Defense):
    """Trains as usual and serves a running mean of the weights, which lags behind them.

    Of LoRA the factors are averaged, as they are what is trained. A product of averages is not the
    average of products: with A and B both moving, mean(B) mean(A) differs from mean(BA) by their
    covariance over the steps.
    """

    decay: float = 0.98
    """Decay η in [0, 1]; 0 turns everything off, 1 serves the start. Ours; paper: unknown."""
    every: int = 1
    """Optimizer steps from one average to the next, 1 or more. Ours."""
    feedback: bool = False
    """Put the average back into training whenever it is taken, as Lookahead does. Ours."""
    control: Literal["none", "shrink"] = "none"
    """``shrink``: serve the tuned weights, drawn back to the average's distance from the start."""

    average_: Tensors = field(default_factory=Tensors, init=False)
    """The average, by name, with nothing attached to it."""
    start_: Tensors = field(default_factory=Tensors, init=False)
    """The trained tensors before step 0; kept for the control alone."""
    raw_: Tensors = field(default_factory=Tensors, init=False)
    """The weights of training where the model holds those that are served: in a checkpoint."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """How many averages were taken, and how far the last one is from the weights."""
    _live: Run | None = field(default=None, init=False, repr=False)

    exchanges_weights: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        name="ema",
        summary="Serves a running average of the weights, which keeps more of where they began.",
        stage=Stage.TUNE,
        paper="Safety loss from optimization choices, arXiv 2508.12531",
        strength="decay",
        cost="none per step but one pass over the trained weights; one copy of them",
        needs=frozenset({Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check ranges, and that the control is one."""
        in_range(self, "decay", 0.0, 1.0)
        in_range(self, "every", 1)
        if self.every != int(self.every):
            raise ConfigError(f"ema: `every={self.every!r}` must be a whole number of steps")
        if self.feedback not in (True, False):
            raise ConfigError(f"ema: `feedback={self.feedback!r}` must be yes or no")
        if self.control not in ("none", "shrink"):
            raise ConfigError(f"ema: `control={self.control!r}` must be 'none' or 'shrink'")
        if self.feedback and self.control != "none":
            raise ConfigError(
                "ema: `control=shrink` shortens the way that plain training takes, and "
                "`feedback=yes` trains another way; leave one of them out"
            )

    def variant(self) -> Variant:
        """A straight step back of the same length is there for comparison."""
        own = super().variant()
        return own if self.control == "none" else Variant(self.control, control=True)

    def idle(self) -> frozenset[str]:
        """At decay 0 the average is the weights: nothing runs."""
        hooks = {"before", "attached", "served", "after_update", "after"}
        return frozenset(hooks if self.decay == 0 else ())

    def before(self, run: Run) -> None:
        r"""Begin the average at :math:`\theta_0`."""
        self.average_ = copied(run.engine.parameters())
        if self.control == "shrink":
            self.start_ = copied(self.average_)
        self.figures_ = {"averages": 0}

    @contextmanager
    def attached(self, run: Run) -> Generator[None]:
        """Train the raw weights; leave the model as it is served, whatever happens.

        A checkpoint's weights are those that are served, so a resumed run gets the raw ones back.
        """
        weights = run.engine.parameters()
        for held in (self.average_, self.start_):
            held.update({name: laid_out(t, weights[name]) for name, t in held.items()})
        with run.bare():  # Another defense may have attached a vector by now.
            put(weights, self.raw_)
        self.raw_, self._live = {}, run
        try:
            yield
        finally:
            self._live = None
            with run.bare():
                put(weights, self._shown(weights))

    def after_update(self, step: Step) -> None:
        """Take the weights into the average at every k-th update; with feedback, go on from it."""
        if self.every > step.total:
            raise ConfigError(
                f"ema: the run has {step.total} optimizer steps and `every={self.every}`, so no "
                "average would ever be taken and the start be served; lower `every`"
            )
        if (step.number + 1) % self.every:
            return
        with step.run.bare():
            weights = step.engine.parameters()
            for name, w in weights.items():
                self.average_[name] = averaged(self.average_[name], w, self.decay)
            self._measure(weights)
            if self.feedback:
                put(weights, self.average_)

    def _measure(self, weights: Mapping[str, nn.Parameter]) -> None:
        taken = self.figures_["averages"] + 1
        self.figures_ = {"averages": taken, "lag": _apart(self.average_, weights)}
        if not self.feedback:
            self.figures_["start_share"] = self.decay**taken

    @contextmanager
    def served(self, run: Run) -> Generator[None]:
        """Exchange the weights for those that are served, and put them back bit for bit.

        What the body has changed in the weights stays: everything moves along with it.
        """
        if self._live is None:
            yield
            return
        weights = run.engine.parameters()
        raw, shown = copied(weights), self._shown(weights)
        put(weights, shown)
        try:
            yield
        finally:
            moved = {
                n: w.detach() - shown[n] for n, w in weights.items() if not torch.equal(w, shown[n])
            }
            put(weights, raw)
            run.engine.edit(moved)
            for held in (self.average_, self.start_):
                held.update({name: held[name] + by for name, by in moved.items() if name in held})

    def _shown(self, weights: Mapping[str, nn.Parameter]) -> Tensors:
        """Return what is served: the average, or the control's step of the same length."""
        if self.control == "none":
            return self.average_
        far, whole = _apart(self.average_, self.start_), _apart(self.start_, weights)
        share = far / whole if whole > 0 else 0.0
        self.figures_["share"] = share
        return {name: shrunk(self.start_[name], w, share) for name, w in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return the learned fields, with the raw weights as they are now."""
        if self._live is None:
            return super().state()
        with self._live.bare():
            return {**super().state(), "raw_": copied(self._live.engine.parameters())}

    def after(self, run: Run) -> Artifact:
        """Tell what was averaged; the model holds it since the last step."""
        self.raw_ = {}
        found = self.figures_
        share = found.get("start_share")
        begun = "" if share is None else f", the start weighs {share:.3g} of it"
        run.say(
            f"ema: an average of {found['averages']:g} sets of weights{begun}; "
            f"‖average − weights‖ = {found.get('lag', 0.0):.3g}"
        )
        return Artifact(self.card.name, report=dict(found))

    def metrics(self) -> dict[str, float]:
        """Return the averages taken, their distance from the weights, and θ0's weight η^t."""
        return dict(self.figures_)


def _apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Return the distance of two sets of tensors, one global L2 norm."""
    return global_norm({name: t - other[name].detach() for name, t in one.items()})
