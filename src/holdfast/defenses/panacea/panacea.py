"""Panacea (Wang et al., arXiv 2501.18100, NeurIPS 2025), from its equations 1 to 3.

The released code carries no license and does not run; nothing here comes from it but two facts that
the paper leaves out and that fields name: the cap of the inner loss and the norm's floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, ClassVar, Literal

from torch import Tensor

from holdfast.analysis.safety_coefficient import (
    Profile,
    layer_coefficients,
    profile,
    shown_layers,
)  # fmt: skip
from holdfast.artifact import Artifact
from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Stage,
    Step,
    in_range,
    need_data,
)  # fmt: skip
from holdfast.defenses.felt import felt_by
from holdfast.defenses.panacea.frontier import Point, choose_scale, measure, shown
from holdfast.defenses.panacea.metric import OURS, refuse_metric, stepped_ascent
from holdfast.defenses.safety_patch import patch_files
from holdfast.errors import ConfigError, RunError
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import Tensors, ascent_step, global_norm, scaled
from holdfast.ops.lookahead import add_gradient_change
from holdfast.progress import counted
from holdfast.training.steering.steerable import Steerable


def harmful_ascent(engine: Engine, harmful: Sequence[Batch], rho: float) -> Tensors:
    r"""Return :math:`\varepsilon = \rho\,\nabla h(w)/\lVert\nabla h(w)\rVert_2` (eq. 2).

    Args:
        engine: The engine of the model at :math:`w`.
        harmful: Batches of the defender's harmful pairs; their gradients are averaged.
        rho: Length of ε, one global L2 norm over all trainable tensors.
    """
    gradient, _ = engine.gradients(harmful)
    return ascent_step(gradient, rho)


@dataclass
class Panacea(Steerable):
    """Takes one normalized ascent step on the harmful loss, no longer than the task allows."""

    harmful: Examples | None = None
    """The defender's harmful pairs: Examples of harmful request → compliant answer."""
    validation: Examples | None = None
    """Examples on which the scale is chosen; without them ε is added at scale 1."""
    rho: float | None = 1.0
    """Absolute radius ρ of ε in raw parameter space (paper: 1, App. F says 2 may be needed)."""
    kappa: float | None = None
    """Relative radius, ρ = κ·‖w‖₂ over the trainable tensors; replaces rho. Ours."""
    mode: Literal["post-hoc", "in-loop"] = "post-hoc"
    """``post-hoc``: one step after training. ``in-loop``: the paper's Algorithm 1."""
    lam: float = 1e-3
    """Weight λ of the in-loop regulariser (paper: 1e-3)."""
    every: int = 1
    """In-loop: run the harmful passes at every k-th optimizer step, λ times k. Ours; paper: 1."""
    cap: float = 5.0
    """In-loop: inner harmful loss above which its gradient is 0, nats (released code only)."""
    batch_size: int = 10
    """Harmful rows per pass (paper's code: 10)."""
    batches: int | None = None
    """Post-hoc: harmful batches averaged into ε; default all of them. Ours."""
    scales: tuple[float, ...] = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
    """Multiples of ε tried on ``validation``; must start at 0. Ours."""
    max_task_drop: float = 0.01
    """Largest drop of the validation score that the scale may cost, in [0, 1]. Ours."""
    metric: Literal["euclidean", "fisher"] = "euclidean"
    """Post-hoc: what ρ is a length in; ``fisher`` spares what ``validation`` rows feel. Ours."""
    damping: float = 0.01
    """With the Fisher metric: δ in means of F, above 0; large values are the paper's step. Ours."""
    steps: int = 1
    """Post-hoc: steps of ρ/steps each, the gradient taken again before each (paper: 1). Ours."""

    direction_: dict[str, Tensor] = field(default_factory=dict[str, Tensor], init=False)
    """In-loop: ε of the latest harmful pass."""
    losses_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """In-loop: the latest harmful loss at w and at w + ε."""

    steered: ClassVar[str] = "lam"
    bounds: ClassVar[tuple[float, float]] = (1e-6, 10.0)
    card: ClassVar[Card] = Card(
        name="panacea",
        summary="Adds one small step up the harmful loss after training, within a task budget.",
        stage=Stage.REPAIR,
        paper="Panacea, arXiv 2501.18100",
        strength="rho",
        cost="post-hoc: one backward pass over the harmful rows; in-loop: 1 + 2/every per step",
        data=("harmful", "validation"),
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS}),
    )
    private: ClassVar[frozenset[str]] = frozenset({"direction_"})

    def validate(self) -> None:
        """Check ranges, and that there are harmful rows unless the strength is 0."""
        for name, low, high in (("lam", 0.0, 1e6), ("cap", 0.0, 1e6), ("max_task_drop", 0.0, 1.0)):
            in_range(self, name, low, high)
        for name in ("every", "batch_size", *(("batches",) if self.batches is not None else ())):
            in_range(self, name, 1)
        in_range(self, "rho" if self.kappa is None else "kappa", 0.0)
        if self.mode not in ("post-hoc", "in-loop"):
            raise ConfigError(f"panacea: mode={self.mode!r} must be 'post-hoc' or 'in-loop'")
        if not self.scales or self.scales[0] != 0 or list(self.scales) != sorted(self.scales):
            raise ConfigError(f"panacea: scales={self.scales!r} must rise from 0")
        refuse_metric(self, off=self._off)
        if not self._off:
            need_data(self, "harmful")

    def config(self) -> dict[str, Any]:
        """Return the hyperparameters; what is not in the paper is left out where it is off."""
        own = super().config()
        return {n: v for n, v in own.items() if n not in OURS or v != getattr(type(self), n)}

    def conflict(self, other: Defense) -> str | None:
        """In the loop, the harmful gradient is blind to what an attached vector has taken away."""
        attaches = Capability.ATTACHMENT in other.card.needs
        if self.mode == "in-loop" and attaches:
            return (
                f"with {other.card.name} attached the harmful loss is near 0 and its gradient "
                "noise; use panacea with mode=post-hoc, which runs after the vector is removed"
            )
        return super().conflict(other)

    def instead(self, missing: Capability) -> str:
        """After training alone it needs no loop."""
        return "give it mode=post-hoc" if missing is Capability.TRAINING else ""

    @property
    def steerable(self) -> tuple[float, float] | None:
        """λ may be moved in the loop; a repair is made once, behind the last step."""
        return self.bounds if self.mode == "in-loop" else None

    @property
    def _off(self) -> bool:
        return 0 in (self.rho, self.kappa)

    def _radius(self, engine: Engine) -> float:
        if self.kappa is not None:
            return self.kappa * global_norm(engine.parameters())
        return float(self.rho or 0.0)

    def idle(self) -> frozenset[str]:
        """After training only, unless the mode is ``in-loop``."""
        return frozenset({"gradient"} if self.mode == "post-hoc" else ())

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Add :math:`-\lambda(\nabla h(w+\varepsilon) - \nabla h(w))` once per update (eq. 3)."""
        loss = backward()
        if not self._off and step.last and step.number % self.every == 0:
            self._harmful_passes(step)
        return loss

    def _harmful_passes(self, step: Step) -> None:
        engine, batches = step.engine, self._batches(step.run)
        batch = batches[step.number // self.every % len(batches)]
        self.direction_ = {}  # Freed first: no more than three copies of the weights at a time.
        seen = add_gradient_change(
            engine,
            batch,
            self._radius(engine),
            self.strength_now * self.every,
            loss_there=lambda b: engine.loss(b).clamp(max=self.cap),
        )
        self.direction_ = seen.direction
        self.losses_ = {"harmful_loss": seen.loss_here}
        if seen.loss_there is not None:
            self.losses_["harmful_loss_ahead"] = seen.loss_there

    def metrics(self) -> dict[str, float]:
        """Return the harmful losses of the latest in-loop passes."""
        return dict(self.losses_)

    def after(self, run: Run) -> Artifact:
        r"""Add the scaled ε to the weights and keep ε apart (Alg. 1, line 11)."""
        engine = run.engine
        if self._off:
            return Artifact(self.card.name, report={"norm": 0.0, "scale": 0.0})
        harmful = self._batches(run)
        eps, spread = self._direction(run, harmful)
        norm = global_norm(eps)
        points = self._frontier(run, eps, harmful)
        scale = choose_scale(points, self.max_task_drop) if points else 1.0
        # Without a frontier one batch tells that the loss rose; it need not cost a second pass.
        seen = points or measure(engine, eps, (0.0, scale), harmful[:1])
        losses = {point.scale: point.harmful_loss for point in seen}
        patch = patch_files(run, self.card.name, scaled(eps, scale))
        engine.edit(eps, scale)
        report: dict[str, Any] = {
            "rho": norm,
            "scale": scale,
            "norm": norm * scale,
            "harmful_loss": [losses[0.0], losses[scale]],
        }
        run.say(f"panacea: ‖ε‖ = {report['norm']:.3g} (scale {scale:g} of ρ = {report['rho']:.3g})")
        tensors = {"perturbation": {n: e.float() for n, e in eps.items()}, **patch.tensors}
        found = {"frontier": [p.row() for p in points], "safety_coefficient": spread}
        documents = {"perturbation": {**self.config(), **report, **found}, **patch.documents}
        blocks = {"frontier": shown(points, scale)} if points else {}
        blocks["safety_coefficient"] = shown_layers(spread["layers"])
        told = {**report, **patch.report, **blocks}
        # Subtracted from an aligned model, ε takes its refusals away: it is a jailbreak.
        return Artifact(self.card.name, tensors, documents, told, private=True)

    def _batches(self, run: Run) -> list[Batch]:
        return run.batches(need_data(self, "harmful"), self.batch_size)

    def _direction(self, run: Run, harmful: list[Batch]) -> tuple[Tensors, dict[str, Any]]:
        """Return ε and its layer coefficients, with their spread over the harmful batches."""
        engine, chosen = run.engine, harmful[: self.batches]
        radius = self._radius(engine)
        total: Tensors = {}
        batches = counted(run.progress, "panacea: gradient", chosen)
        single = [_gradient_of(batch, engine, radius, total) for batch in batches]
        if self.mode == "in-loop" and self.direction_:
            eps = {n: e.to(total[n].device) for n, e in self.direction_.items()}
        elif self.metric == "fisher" or self.steps > 1:
            fisher = (
                felt_by(run, need_data(self, "validation")) if self.metric == "fisher" else None
            )
            setting = (radius, self.steps, self.damping)
            eps = stepped_ascent(engine, chosen, fisher, setting, run.progress)
        else:
            eps = ascent_step(total, radius)
        total.clear()  # Freed before the coefficients take memory of their own.
        _check_direction(eps)
        return eps, layer_coefficients(eps, single)

    def _frontier(self, run: Run, eps: Tensors, harmful: list[Batch]) -> list[Point]:
        if self.validation is None or len(self.validation) == 0:
            return []
        validation = run.batches(self.validation, max(self.batch_size, 32))
        scales = counted(run.progress, "panacea: scales", self.scales)
        return measure(run.engine, eps, scales, harmful, validation)


def _gradient_of(batch: Batch, engine: Engine, radius: float, total: Tensors) -> Profile:
    """Add one batch's gradient to ``total``, keep none of it, and return its profile."""
    gradient, _ = engine.gradients([batch])
    found = profile(gradient, radius)
    for name, part in gradient.items():
        total[name] = total[name].add_(part) if name in total else part
    return found


def _check_direction(eps: Tensors) -> None:
    """Raise, before the weights are touched, where ε is zero, NaN or infinite."""
    norm = global_norm(eps)
    if not 0 < norm < inf:
        raise RunError(
            f"panacea: the harmful loss has no usable gradient (the norm of ε is {norm}); the "
            "weights were left as they are: look at the harmful rows and at the model"
        )
