r"""Natural repair: small steps back to refusing, short where the user's task would feel them. Ours.

Relatives: the natural gradient (Amari 1998); elastic weight consolidation (Kirkpatrick et al. 2017,
arXiv 1612.00796) for the diagonal metric; selective synaptic dampening (Foster et al. 2024, arXiv
2308.07707) for Fisher-weighted unlearning; Panacea (arXiv 2501.18100) for one step after training,
which it is with ``direction=harm``, one step and a large damping.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Stage,
    Variant,
    need_data,
)  # fmt: skip
from holdfast.defenses.felt import felt_by
from holdfast.defenses.natural_repair.checks import check_fields, check_length, length_of
from holdfast.defenses.natural_repair.frontier import Budget, Place, chosen, shown, within
from holdfast.defenses.natural_repair.looks import Looks
from holdfast.defenses.natural_repair.objective import way_back
from holdfast.defenses.natural_repair.rows import Rows, rows_of
from holdfast.defenses.natural_repair.walk import Walk
from holdfast.defenses.refusals import check_base, check_refuses, refusals_of_base, refuse_tokens
from holdfast.defenses.safety_patch import patch_files
from holdfast.errors import RunError
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.randomness import gaussian
from holdfast.progress import counted


@dataclass
class NaturalRepair(Defense):
    """Leads a tuned model back to refusing by small steps that spare its task."""

    harmful: Examples | None = None
    """The defender's harmful pairs; ``direction=refusal`` reads their prompts alone."""
    safe: Examples | None = None
    """Harmful requests with refusals; without them the aligned model's own answers are used."""
    benign: Examples | None = None
    """Harmless requests with right answers: in the metric, and kept in the direction."""
    lookalike: Examples | None = None
    """Harmless requests that look dangerous, answered; half are kept, half measure refusing."""
    validation: Examples | None = None
    """Rows of the task and of general use: they make the metric and the task budget."""
    step: float = 0.15
    """Length of a step as a share of the norm of what training changed (of LoRA: of its B)."""
    length: float | None = None
    """Length of a step in raw parameter space; replaces step."""
    steps: int = 8
    """Most steps; the budgets decide how many are taken."""
    direction: Literal["refusal", "harm", "both", "random"] = "refusal"
    """Down the loss of refusing, up the loss of harm, both, or noise as a control."""
    metric: Literal["fisher", "euclidean"] = "fisher"
    """``fisher`` makes a step short where the task feels it; ``euclidean`` treats all alike."""
    damping: float = 0.001
    """δ of the Fisher metric in means of F, above 0."""
    keep: float = 1.0
    """Weight of the loss of harmless rows in the direction; 0 leaves them out of it."""
    refusals: Literal["auto", "rows", "base"] = "auto"
    """From ``safe`` rows, from the aligned model (base), or from rows where there are some."""
    aligned: str | None = None
    """Fully tuned weights: folder of the aligned model; a LoRA adapter is switched off instead."""
    rows: int = 200
    """Most rows of each data set that the metric, the direction and the frontier read."""
    batch_size: int = 25
    """Rows per pass of the direction."""
    per_step: int = 1
    """Places along each step at which costs are measured."""
    max_task_drop: float = 0.01
    """Largest drop of the validation score, in [0, 1]; 0 leaves the model alone."""
    max_over_refusal: float = 0.02
    """Largest rise of the share of harmless prompts refused, in [0, 1]; 0 leaves it alone."""
    rise_from: Literal["tuned", "aligned"] = "tuned"
    """Whose over-refusal the rise is counted from: the tuned model's, or the aligned one's."""
    enough: float | None = 0.02
    """Stop where no more than this share of the harmful prompts is answered; None: go on."""
    max_new_tokens: int = 24
    """Longest answer that is let be written, in tokens."""

    card: ClassVar[Card] = Card(
        name="natural_repair",
        summary="Small steps back to refusing, spared where the task feels them; two budgets.",
        stage=Stage.REPAIR,
        paper="ours, after Panacea, arXiv 2501.18100",
        strength="step",
        cost="one backward pass for each row of the metric; for each step one over the refusals",
        data=("harmful", "safe", "benign", "lookalike", "validation"),
        models={"aligned": "aligned"},
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS}),
    )

    @property
    def is_off(self) -> bool:
        """Whether a step has no length."""
        return 0 in (self.step, self.length)

    def validate(self) -> None:
        """Check ranges, and that there are harmful prompts unless the strength is 0."""
        check_fields(self)
        if not self.is_off:
            need_data(self, "harmful")
            if self.refusals == "rows":
                need_data(self, "safe")
            refuse_tokens(self)

    def check_model(self, model: nn.Module) -> None:
        """Look whether the aligned model can be had where it is needed, and a length be told."""
        if self._asks_base or self.rise_from == "aligned":
            check_base(model, self.aligned, self.card.name)
        check_length(self, model)

    def check_run(self, run: Run) -> None:
        """Look whether the aligned model refuses anything where it writes the refusals."""
        if self._asks_base:
            check_refuses(run, self)

    def variant(self) -> Variant:
        """What differs from the method as it is: another way to go, the plain metric."""
        ways = "" if self.direction == "refusal" else self.direction
        metric = "" if self.metric == "fisher" else self.metric
        label = "-".join(word for word in (ways, metric) if word)
        return Variant(label, control=self.is_off or self.direction == "random")

    @property
    def _asks_base(self) -> bool:
        given = self.safe is not None and len(self.safe) > 0
        led = self.direction in ("refusal", "both")
        return self.refusals == "base" or (self.refusals == "auto" and led and not given)

    def after(self, run: Run) -> Artifact:
        """Walk as far as the budgets allow; the change is kept apart and is private."""
        if self.is_off:
            return Artifact(self.card.name, report={"norm": 0.0, "steps": 0.0})
        rows, length = self._rows(run), length_of(self, run)
        looks = Looks(run, rows, self)
        for told in looks.missing:
            run.say(f"{self.card.name}: {told}")
        budget = Budget(self.max_task_drop, self.max_over_refusal, looks.reference())
        way = Walk(run.engine, self._gradient(run, rows), self._metric(run, rows), length)
        # Where nothing is measured all steps are taken at once.
        per = self.per_step if looks.any or self.enough is not None else 1
        places = [number / per for number in range(1, self.steps * per + 1)]
        with way:
            told = counted(run.progress, f"{self.card.name}: places", places)
            seen = within(way.go, looks.place, told, budget, self.enough)
            best = chosen(seen, budget)
            change = way.change(best.steps)
        return self._finished(run, change, seen, best, length)

    def _rows(self, run: Run) -> Rows:
        """Return every set of rows by what it is for, the refusals made where none are given."""
        given = self.safe
        if self._asks_base:
            given = refusals_of_base(run, self)
        return rows_of(self, given)

    def _metric(self, run: Run, rows: Rows) -> tuple[Tensors | None, float]:
        """Return F and its damping; the Euclidean metric where no row can feel a step."""
        if self.metric == "euclidean" or not rows.felt:
            return None, self.damping
        run.say(f"{self.card.name}: {len(rows.felt)} rows make the metric")
        return felt_by(run, rows.felt), self.damping

    def _gradient(self, run: Run, rows: Rows) -> Callable[[int], Tensors]:
        engine, size = run.engine, self.batch_size
        if self.direction == "random":
            return lambda number: gaussian(engine.parameters(), run.seed * 1000 + number)
        signs = {"refusal": (-1.0, 0.0), "harm": (0.0, 1.0), "both": (-1.0, 1.0)}[self.direction]
        weighed = zip((*signs, -self.keep), (rows.refusals, rows.harmful, rows.kept), strict=True)
        terms = [(weight, run.batches(each, size)) for weight, each in weighed if weight and each]
        return lambda _: _usable(way_back(engine, terms), self.card.name)

    def _finished(
        self, run: Run, change: Tensors, seen: list[Place], best: Place, length: float
    ) -> Artifact:
        """Edit the weights and return what is kept apart."""
        name = self.card.name
        report: dict[str, Any] = {
            "steps": best.steps,
            "length": length,
            "norm": global_norm(change),
            "refusal_loss": [seen[0].refusal_loss, best.refusal_loss],
            "answered": [seen[0].answered, best.answered],
            "over_refusal": [seen[0].over_refusal, best.over_refusal],
        }
        run.say(f"{name}: {best.steps:g} steps of {length:.3g}, a change of {report['norm']:.3g}")
        patch = patch_files(run, name, change) if change else Artifact(name)
        run.engine.edit(change)
        tensors = {"perturbation": {n: c.float() for n, c in change.items()}} if change else {}
        found = {**self.config(), **report, "frontier": [place.row() for place in seen]}
        told = {**report, **patch.report, "frontier": shown(seen, best.steps, name)}
        # Subtracted from an aligned model, the change takes its refusals away: it is a jailbreak.
        return Artifact(
            name,
            {**tensors, **patch.tensors},
            {"perturbation": found, **patch.documents},
            told,
            private=True,
        )


def _usable(gradient: Tensors, name: str) -> Tensors:
    """Raise, the weights as they were, where the gradient is zero, NaN or infinite."""
    norm = global_norm(gradient)
    if not 0 < norm < inf:
        raise RunError(
            f"{name}: there is no usable gradient (its norm is {norm}); the weights were left as "
            "they were: look at the refusals, at the harmful rows and at the model"
        )
    return gradient
