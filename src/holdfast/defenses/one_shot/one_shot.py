r"""One-shot repair (arXiv 2601.01887, ICLR 2026): a tuned model is tuned on a single refusal.

From the specification's equations; the paper's code was not seen.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar, Literal

from torch import nn

from holdfast.artifact import Artifact, Table
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Row,
    Run,
    Stage,
    Variant,
    in_range,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.defenses.natural_repair.frontier import Budget, Place, chosen, shown, within
from holdfast.defenses.natural_repair.looks import Looks
from holdfast.defenses.one_shot.objective import Objective, Score
from holdfast.defenses.one_shot.rows import Pool, pool_of
from holdfast.defenses.one_shot.updates import OPTIMIZERS, How, Updates
from holdfast.defenses.refusals import (
    check_base,
    check_refuses,
    refusals_of_base,
    refuse_tokens,
    with_base,
)
from holdfast.defenses.safety_patch import patch_files
from holdfast.errors import ConfigError, ModelError, RunError
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.weights import put
from holdfast.progress import counted

CHOICES = {"optimizer": OPTIMIZERS, "refusals": ("auto", "rows", "base")}


@dataclass
class OneShot(Defense):
    """Tunes the finished model for a few updates on the one refusal that repairs it best."""

    harmful: Examples | None = None
    """Harmful pairs, of which the prompts are asked: by the aligned model, and along the way."""
    safe: Examples | None = None
    """Harmful requests with refusals; without them the aligned model's own answers are used."""
    benign: Examples | None = None
    """Harmless rows whose prompts measure over-refusal where there are none that look dangerous."""
    lookalike: Examples | None = None
    """Harmless rows that look dangerous; their prompts measure over-refusal."""
    validation: Examples | None = None
    """Rows of the task: the second term of the objective, and the task budget."""
    steps: int = 10
    """Most updates on the row; 0 does nothing (paper: 10 epochs of one row)."""
    lr: float = 2e-5
    """Learning rate (paper: 2e-5, all weights of a 7B model; an adapter wants its own)."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """``adamw`` without decay, or ``sgd`` without momentum."""
    rank: int = 0
    """Highest rank of each matrix's change (paper: 20 or less); 0 leaves it free."""
    candidates: int = 16
    """Rows of which the one is chosen (paper: 256); 1 takes a drawn row, as a control."""
    trial_steps: int = 3
    """Updates on each candidate before it is judged. Ours."""
    judged: int = 32
    """Most refusals and most task rows on which candidates are judged. Ours."""
    refusals: Literal["auto", "rows", "base"] = "auto"
    """From ``safe`` rows, from the aligned model (base), or from rows where there are some."""
    aligned: str | None = None
    """Fully tuned weights: folder of the aligned model; a LoRA adapter is switched off instead."""
    rows: int = 200
    """Most rows of each data set."""
    batch_size: int = 25
    """Rows per pass of what is measured."""
    max_task_drop: float = 0.01
    """Largest drop of the validation score, in [0, 1]; 0 leaves the model alone."""
    max_over_refusal: float = 0.02
    """Largest rise of the share of harmless prompts refused, in [0, 1]; 1 only reports it. Ours."""
    enough: float | None = None
    """Stop where no more than this share of the harmful prompts is answered; None: go on. Ours."""
    max_new_tokens: int = 24
    """Longest answer that is let be written, in tokens."""

    card: ClassVar[Card] = Card(
        name="one_shot",
        summary="Tunes the finished model for a few updates on a single, chosen refusal.",
        stage=Stage.REPAIR,
        paper="One-shot safety repair, arXiv 2601.01887",
        strength="steps",
        cost="candidates x trial_steps + steps backward passes of one row, once",
        data=("harmful", "safe", "benign", "lookalike", "validation"),
        models={"aligned": "aligned"},
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check ranges, and that there are refusals or prompts to ask unless the strength is 0."""
        for field, allowed in CHOICES.items():
            if (given := getattr(self, field)) not in allowed:
                wanted = ", ".join(allowed)
                raise ConfigError(f"one_shot: {field}={given!r} must be one of {wanted}")
        in_range(self, "lr", 0.0, 1e3)
        for field, least in (("steps", 0), ("rank", 0), ("candidates", 1), ("trial_steps", 1),
                             ("judged", 1), ("rows", 1), ("batch_size", 1),
                             ("max_new_tokens", 1)):  # fmt: skip
            whole_in_range(self, field, least)
        for field in ("max_task_drop", "max_over_refusal"):
            in_range(self, field, 0.0, 1.0)
        if self.enough is not None:
            in_range(self, "enough", 0.0, 1.0)
        if self.steps > 0:
            need_data(self, "harmful" if self._asks_base else "safe")
            refuse_tokens(self)

    def check_model(self, model: nn.Module) -> None:
        """Look whether the aligned model can be had where it writes the refusals."""
        if self._asks_base or self.aligned is not None:
            check_base(model, self.aligned, self.card.name)

    def check_run(self, run: Run) -> None:
        """Look whether the aligned model refuses anything where it writes the refusals."""
        if self._asks_base:
            check_refuses(run, self)

    def variant(self) -> Variant:
        """A row that nobody chose is a control; a bounded rank is another method of the paper."""
        words = ("drawn" if self.candidates == 1 else "", f"rank-{self.rank}" if self.rank else "")
        label = "-".join(word for word in words if word)
        return Variant(label, control=self.is_off or self.candidates == 1)

    @property
    def _asks_base(self) -> bool:
        given = self.safe is not None and len(self.safe) > 0
        return self.refusals == "base" or (self.refusals == "auto" and not given)

    def after(self, run: Run) -> Artifact:
        """Choose the row, learn it as far as the budgets allow, and keep the change apart."""
        if self.is_off:
            return Artifact(self.card.name, report={"norm": 0.0, "steps": 0.0})
        refusals: Any = self.safe
        if self._asks_base:
            refusals = refusals_of_base(run, self)
        pool = pool_of(self, refusals, run.seed)
        looks = Looks(run, pool.measured, self)
        for told in looks.missing:
            run.say(f"{self.card.name}: {told}")
        singles, trials = run.batches(pool.candidates, 1), self._trials(run, pool)
        best = trials.index(min(trials, key=_badness)) if trials else 0
        budget = Budget(self.max_task_drop, self.max_over_refusal)
        seen_all = looks.any or self.enough is not None
        places = range(1, self.steps + 1) if seen_all else (self.steps,)
        with Updates(run.engine, singles[best], self._how) as updates:
            told = counted(run.progress, f"{self.card.name}: updates", list(places))
            seen = within(updates.go, looks.place, told, budget, self.enough)
            end = chosen(seen, budget)
            change, there = updates.change(end.steps), updates.place(end.steps)
        _check(change)
        made = self._finished(run, change, seen, end, updates.losses)
        put(run.engine.parameters(), there)
        return self._with_row(made, pool.candidates[best], trials, best)

    @property
    def _how(self) -> How:
        return How(self.optimizer, self.lr, self.rank)

    def _trials(self, run: Run, pool: Pool) -> list[Score]:
        """Return each candidate's score after a few updates on it; none where there is one."""
        if len(pool.candidates) == 1:
            return []
        task = pool.measured.measured[: self.judged]
        objective = Objective(
            run.engine,
            run.batches(pool.judged, self.batch_size),
            run.batches(task, self.batch_size) if task else [],
            self._aligned(run),
        )
        batches = run.batches(pool.candidates, 1)
        scores: list[Score] = []
        for batch in counted(run.progress, f"{self.card.name}: trials", batches):
            with Updates(run.engine, batch, self._how) as updates:
                updates.go(min(self.trial_steps, self.steps))
                scores.append(objective.score())
        return scores

    def _aligned(self, run: Run) -> AbstractContextManager[None] | None:
        try:
            check_base(run.model, self.aligned, self.card.name)
        except (ConfigError, ModelError):  # What it is told apart by is the refusals' loss then.
            run.say(f"{self.card.name}: the aligned model is not at hand; refusals stand for it")
            return None
        return with_base(run, self.aligned, self.card.name)

    def _finished(
        self, run: Run, change: Tensors, seen: list[Place], end: Place, losses: list[float]
    ) -> Artifact:
        """Return what is kept apart; the weights are still as tuning left them."""
        name, first = self.card.name, seen[0]
        report: dict[str, Any] = {
            "over_refusal": [first.over_refusal, end.over_refusal],
            "answered": [first.answered, end.answered],
            "refusal_loss": [first.refusal_loss, end.refusal_loss],
            "steps": end.steps,
            "norm": global_norm(change),
        }
        run.say(f"{name}: {end.steps:g} updates on one row, a change of {report['norm']:.3g}")
        patch = patch_files(run, name, change) if change else Artifact(name)
        tensors = {"perturbation": {n: c.float() for n, c in change.items()}} if change else {}
        found = {
            **self.config(), **report, "row_losses": losses, "frontier": [p.row() for p in seen],
        }  # fmt: skip
        told = {**report, **patch.report, "frontier": shown(seen, end.steps, name)}
        documents = {"perturbation": found, **patch.documents}
        # Subtracted from an aligned model, the change takes its refusals away: it is a jailbreak.
        return Artifact(name, {**tensors, **patch.tensors}, documents, told, private=True)

    def _with_row(self, made: Artifact, row: Row, trials: list[Score], best: int) -> Artifact:
        """Add which row it was, apart, and how the others did, for all."""
        made.documents["row"] = {
            "row": {key: row[key] for key in ("prompt", "completion") if key in row},
            "chosen": best,
            "trials": [score._asdict() for score in trials],
        }
        if trials:
            rows = [(n, *score, score.total, n == best) for n, score in enumerate(trials)]
            made.report["trials"] = Table(
                "Rows that were tried",
                ("row", "refusals, nats", "task, nats", "sum", "taken"),
                tuple(rows),
                f"Each after {min(self.trial_steps, self.steps)} updates on it alone, on prompts "
                "that are no candidates. The least sum was taken.",
            )
        return made


def _badness(score: Score) -> float:
    return score.total if isfinite(score.total) else inf


def _check(change: Tensors) -> None:
    """Raise, the weights as they were, where an update led to no number."""
    norm = global_norm(change)
    if not isfinite(norm):
        raise RunError(
            f"one_shot: the updates led to a change of norm {norm}; the weights were left as they "
            "were: take a smaller lr"
        )
