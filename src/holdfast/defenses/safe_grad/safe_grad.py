"""SafeGrad (arXiv 2508.07172), from its equations 3 to 6."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Stage,
    Step,
    Variant,
    in_range,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.errors import ConfigError, DivergedError
from holdfast.ops.agreement import answer_logits
from holdfast.ops.anchors import distances
from holdfast.ops.anchors.references import Reference, reference_at, reference_table
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import Tensors, collected, global_norm, inner_product, scaled
from holdfast.ops.randomness import derived_seed, gaussian
from holdfast.progress import ticking

NOISE = 1e-6
"""A safety gradient shorter than this share of the user's is rounding; its direction says nothing.
Ours: a KL divergence from the start has no gradient there but what its sums lose."""
_CHOICES = {"distance": ("kl", "ce"), "direction": ("safety", "random")}


class Surgery(NamedTuple):
    """What is done with one update's gradient."""

    coefficient: float
    """c: how much of the safety gradient is added."""
    conflict: bool
    """Whether the user's gradient points against it."""
    skipped: bool
    """Whether the safety gradient was too short to look at its direction."""
    cosine: float
    """Of the angle between the two; 0 where one has no length."""


def operated(dot: float, user: float, anchor: float, rho: float, *, surgery: bool) -> Surgery:
    r"""Return c with :math:`g' + \rho\,g_a = g_u + c\,g_a` (eq. 3 to 5).

    :math:`g' = g_u - \frac{\langle g_u, g_a\rangle}{\lVert g_a\rVert^2}g_a` where the dot product
    is below 0, and :math:`g_u` elsewhere, so that :math:`c = \rho -
    \min(0, \langle g_u, g_a\rangle)/\lVert g_a\rVert^2`. What is taken out is never longer than
    :math:`g_u`, so c needs no bound.

    Args:
        dot: :math:`\langle g_u, g_a\rangle`, one product over all tensors.
        user: :math:`\lVert g_u\rVert`.
        anchor: :math:`\lVert g_a\rVert`.
        rho: Weight ρ ≥ 0 of the safety gradient itself.
        surgery: False leaves the first part out (an ablation).
    """
    cosine = dot / (user * anchor) if user > 0 and anchor > 0 else 0.0
    if anchor < NOISE * user or anchor == 0:
        return Surgery(rho, conflict=False, skipped=True, cosine=cosine)
    conflict = dot < 0
    removed = -dot / anchor**2 if conflict and surgery else 0.0
    return Surgery(rho + removed, conflict=conflict, skipped=False, cosine=cosine)


@dataclass
class SafeGrad(Defense):
    """Takes out of each update what undoes the refusals, and adds what keeps them."""

    safe: Examples | None = None
    """The safety memory: Examples of harmful request → refusal (paper: 100)."""
    strength: float = 1.0
    """Multiple of the added vector, 0 or more; 0 does nothing. Ours; the paper's is 1."""
    rho: float = 1.0
    """Weight ρ of the safety gradient itself; 0 leaves surgery alone (paper: 1)."""
    surgery: bool = True
    """Take the conflicting part of the user's gradient out; False is the paper's ablation."""
    distance: Literal["kl", "ce"] = "kl"
    """``kl``: KL(start ‖ now) at the refusals' tokens; ``ce``: their cross-entropy (ablation)."""
    direction: Literal["safety", "random"] = "safety"
    """``random``: the control, a direction of the same length that knows nothing. Ours."""
    batch_size: int = 10
    """Safety rows per update. Ours."""
    top_k: int = 0
    """Likeliest tokens that are kept of the start's distributions, the others as one; 0: all."""

    reference_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """What the model said at the refusals' tokens before step 0."""
    counts_: dict[str, int] = field(default_factory=dict[str, int], init=False)
    """Updates so far, those of them in conflict, and those whose safety gradient was noise."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """Figures of the latest update."""

    card: ClassVar[Card] = Card(
        name="safe_grad",
        summary="What of the user's gradient points against the refusals is taken out.",
        stage=Stage.TUNE,
        paper="SafeGrad, arXiv 2508.07172",
        strength="strength",
        cost="one pass over safety rows per step; one forward pass over them before",
        data=("safe",),
        needs=frozenset({Capability.EXTRA_BACKWARD}),
    )

    def validate(self) -> None:
        """Check ranges, and that something is added of something."""
        for name in ("strength", "rho"):
            in_range(self, name, 0.0)
        for name, low in (("batch_size", 1), ("top_k", 0)):
            whole_in_range(self, name, low)
        self._check_choices()
        if self.strength > 0:
            need_data(self, "safe")

    def _check_choices(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                allowed = ", ".join(map(repr, known))
                raise _wrong(f"`{name}={getattr(self, name)!r}` must be one of {allowed}")
        if self.rho == 0 and not self.surgery:
            raise _wrong("`rho=0` without surgery adds nothing; give `strength=0` for no defense")
        if self.top_k and self.distance == "ce":
            raise _wrong(f"`top_k={self.top_k}` is of what `distance=kl` keeps; leave it out")

    def variant(self) -> Variant:
        """A random direction of the same length is the control."""
        off = self.is_off or self.direction == "safety"
        return super().variant() if off else Variant("random", control=True)

    def idle(self) -> frozenset[str]:
        """Nothing runs at strength 0; a cross-entropy needs nothing of the start."""
        if self.strength == 0:
            return frozenset({"before", "gradient"})
        return frozenset({"before"}) if self.distance == "ce" else frozenset()

    def before(self, run: Run) -> None:
        """Keep what the model says of the refusals as it was given."""
        batches = self._batches(run)
        tick = ticking(run.progress, "safe_grad: reference", len(batches))
        self.reference_ = reference_table(run.engine, batches, int(self.top_k), tick=tick)

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Leave :math:`g_u + s\,c\,g_a` in ``.grad``, decided once per update.

        :math:`g_u` is what lies in ``.grad`` behind the last micro-batch's backward: the gradient
        of the whole update, with what defenses further inside have added.
        """
        loss = backward()
        if step.last:
            self._operate(step)
        return loss

    def _batches(self, run: Run) -> list[Batch]:
        return run.batches(need_data(self, "safe"), int(self.batch_size))

    def _operate(self, step: Step) -> None:
        batches = self._batches(step.run)
        draw = step.number % len(batches)
        with step.run.bare():  # What must stay is what is served.
            anchor, value = self._anchor(step.engine, batches[draw], draw)
        if not isfinite(value):
            raise DivergedError(
                f"safe_grad: the loss on the safety rows became NaN or infinite at step "
                f"{step.number}: lower the learning rate, or look at batch {draw + 1} of them"
            )
        if self.direction == "random":
            drawn = gaussian(anchor, derived_seed(step.run.seed, self.card.name, step.number))
            noise = {name: z.to(anchor[name].dtype) for name, z in drawn.items()}
            anchor = scaled(noise, global_norm(anchor) / global_norm(noise))
        users = collected(step.engine.parameters())
        found = self._decided(users, anchor, value)
        step.engine.add_gradient(anchor, self.strength * found.coefficient)

    def _anchor(self, engine: Engine, batch: Batch, draw: int) -> tuple[Tensors, float]:
        """Return the gradient and value of the distance from the start, or of the rows' loss."""
        if self.distance == "ce":
            return engine.gradients([batch])

        def loss(rows: Batch) -> Tensor:
            logits = answer_logits(engine, rows)
            return distances.distance(logits, self._reference(rows, draw, logits), "kl")

        return engine.gradients([batch], loss)

    def _reference(self, batch: Batch, draw: int, logits: Tensor) -> Reference:
        """Return what the model said of this batch before step 0."""
        name = self.card.name
        return reference_at(self.reference_, draw, batch, logits.device, name)

    def _decided(self, users: Tensors, anchor: Tensors, value: float) -> Surgery:
        """Return what is to be done, and count it."""
        user, length = global_norm(users), global_norm(anchor)
        dot = inner_product(users, anchor)
        found = operated(dot, user, length, self.rho, surgery=self.surgery)
        for name, one in (("updates", 1), ("conflicts", found.conflict), ("noise", found.skipped)):
            self.counts_[name] = self.counts_.get(name, 0) + int(one)
        self.figures_ = {
            "distance": value,
            "cosine": found.cosine,
            "coefficient": found.coefficient,
            "conflict_rate": self.counts_["conflicts"] / self.counts_["updates"],
            "noise_rate": self.counts_["noise"] / self.counts_["updates"],
        }
        if user > 0:
            share = self.strength * found.coefficient * length / user
            self.figures_["gradient_share"] = share
        return found

    def metrics(self) -> dict[str, float]:
        """Return the distance, angle and coefficient of the latest update, and how often so far."""
        return dict(self.figures_)


def _wrong(said: str) -> ConfigError:
    return ConfigError(f"safe_grad: {said}")
