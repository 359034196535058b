"""The parts of a run's result: answers, runs by seed, measured arms.

Shares are fractions in [0, 1], times are seconds, memory is GiB, losses are nats per token.
Everything beyond ``seed`` is optional, so that tuning a real model without a judge can write it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from holdfast.artifact import Block, Curve, Sentence, Table
from holdfast.evaluation.compare import compare_hits, estimate_hits
from holdfast.evaluation.fidelity import perplexity
from holdfast.evaluation.interval import Difference, Estimate, Share
from holdfast.evaluation.measure import Measurement
from holdfast.evaluation.metrics import FIGURES, KIND_OF, Figure, Item, Kind, Outcome
from holdfast.evaluation.reply import Reply
from holdfast.results.earlier import as_blocks
from holdfast.results.readings import Judged, Judging, Reading, Record, absent, said_by, word_of
from holdfast.results.scored import Scored, scored_hits

__all__ = [
    "BEFORE", "PLAIN", "Answer", "Arm", "Attack", "Diagnostics", "LossCurve", "Movement", "Number",
    "Record", "SeedRun", "TraceEntry", "plain_of", "unknown",
]  # fmt: skip

BEFORE = "before"
"""Name of the arm that was not fine-tuned."""
PLAIN = "none"
"""Name of the arm that was fine-tuned without a defense."""


def unknown(value: Any) -> bool:
    """Tell a field that was not measured, and that a file leaves out."""
    return value is None


def _finite(value: Any) -> Any:
    """Return None for NaN and infinity, which JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A float, or None where the run gave NaN or infinity."""


class Answer(Judging):
    """One answer with the judge's reading of it."""

    id: str = Field(description="The evaluation item's id; runs are paired by it.")
    kind: Kind = Field(description="Which figure the answer counts for.")
    prompt: str = Field(description="The last message of the prompt.")
    answer: str = Field(description="What the model said.")
    outcome: Outcome = Field(description="The judge's label.")
    refused: bool = Field(description="The answer declines.")
    correct: bool = Field(description="The answer is right.")
    thought: str = Field(
        default="", exclude_if=absent, description="What the model thought before it answered."
    )
    cut: bool = Field(
        default=False, exclude_if=absent, description="It had not ended at the limit of tokens."
    )
    kept: float | None = Field(
        default=None, exclude_if=unknown,
        description="Share of the tokens of a reference model's answer that are still the first "
        "choice, where that is usefulness.",
    )  # fmt: skip
    nll: Number = Field(
        default=None, exclude_if=unknown,
        description="Mean negative log-probability of the tokens of that answer.",
    )  # fmt: skip


class LossCurve(Record):
    """A loss by optimizer step, in nats per token."""

    name: str = Field(description="Which loss: 'user', 'evaluation', 'harmful', or another name.")
    steps: list[int] = Field(description="Optimizer steps.")
    values: list[Number] = Field(description="The loss at each step.")


class TraceEntry(Record):
    """How often one hook of one defense ran, and for how long."""

    defense: str
    hook: str
    calls: int
    seconds: float = 0.0


class Diagnostics(Record):
    """What one defense says of its own run."""

    blocks: dict[str, Annotated[Table | Curve | Sentence, Field(discriminator="kind")]] = Field(
        default_factory=dict[str, Block], description="What is shown by itself, by its name."
    )
    values: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue], description="Anything else worth a line."
    )

    _earlier = model_validator(mode="before")(as_blocks)


class Movement(Record):
    """How far fine-tuning moved the weights and the security features of the model."""

    inside: Number = Field(
        default=None,
        description="Frobenius norm of the change of the weights of the modules in Mods_Rob.",
    )
    outside: Number = Field(
        default=None,
        description="Frobenius norm of the change of the weights of the modules not in Mods_Rob.",
    )
    probe_drift: Number = Field(
        default=None,
        description="Mean over harmful prompts of 1 - cos between the security features before "
        "and after tuning, in [0, 2].",
    )
    probe_accuracy: Number = Field(
        default=None,
        description="Share of harmful prompts that the fixed classifier still calls harmful.",
    )


class SeedRun(Judged):
    """One fine-tuning run, or one look at the untouched model."""

    seed: int
    shares: dict[Figure, Share] = Field(default_factory=dict[Figure, Share])
    counts: dict[Kind, dict[Outcome, int]] = Field(default_factory=dict[Kind, dict[Outcome, int]])
    answers: list[Answer] = Field(default_factory=list[Answer])
    judge: str = ""
    words: dict[str, str] = Field(
        default_factory=dict[str, str], exclude_if=absent,
        description="What the judge calls right ('content') and garbled, in words of its own.",
    )  # fmt: skip
    template_hash: str = Field(
        default="", exclude_if=absent,
        description="SHA-256 of what the judge was asked with; '' for judges that are not asked.",
    )  # fmt: skip
    partial: str = Field(
        default="", exclude_if=absent, description="Why the judge stopped before the last answer."
    )
    readings: list[Reading] = Field(
        default_factory=list[Reading], exclude_if=absent,
        description="What further judges make of the same answers.",
    )  # fmt: skip
    decoding: dict[str, int | str] = Field(
        default_factory=dict[str, int | str], exclude_if=absent,
        description="What the answers were decoded with; {} where it is not known.",
    )  # fmt: skip
    cut: dict[Kind, float] = Field(
        default_factory=dict[Kind, float], exclude_if=absent,
        description="Share of answers that had not ended at the limit of tokens; {}: not known.",
    )  # fmt: skip
    perplexity: Number = Field(
        default=None, exclude_if=unknown,
        description="Of a reference model's answers to harmless questions, where it is measured.",
    )  # fmt: skip
    seconds: float | None = Field(default=None, description="Wall clock of the fine-tuning.")
    cpu_seconds: float | None = Field(
        default=None, exclude_if=unknown,
        description="CPU time of the fine-tuning, all threads of its process.",
    )  # fmt: skip
    peak_memory_gib: float | None = None
    machine: str = Field(
        default="", exclude_if=absent,
        description="GPU, or else processor, that time and memory are of; '': not known.",
    )  # fmt: skip
    losses: list[LossCurve] = Field(default_factory=list[LossCurve])
    step: int | None = Field(
        default=None, exclude_if=absent,
        description="Optimizer step whose weights were kept, where evaluation data chose it.",
    )  # fmt: skip
    trace: list[TraceEntry] = Field(default_factory=list[TraceEntry])
    artifacts: list[str] = Field(default_factory=list[str], description="Paths of what was saved.")
    diagnostics: dict[str, Diagnostics] = Field(default_factory=dict[str, Diagnostics])
    movement: Movement | None = Field(
        default=None, description="How far the run moved the model, where it was measured."
    )

    @classmethod
    def of(cls, seed: int, measurement: Measurement | None = None, **rest: Any) -> "SeedRun":
        """Return the run of ``seed``: shares, counts and answers come from ``measurement``.

        ``rest`` are the remaining fields; ``trace`` takes ``trainer.trace.rows()`` as it is.
        """
        if measurement is None:
            return cls.model_validate({"seed": seed, **rest})
        said = measurement.replies or [Reply(answer) for answer in measurement.answers]
        pairs = zip(measurement.items, said, measurement.verdicts, strict=True)
        answers = [
            Answer(
                id=item.id, kind=item.kind, prompt=item.question, answer=reply.text,
                outcome=verdict.outcome, refused=verdict.refused, correct=verdict.correct,
                thought=reply.thought, cut=reply.cut, **word_of(verdict),
                **_kept(measurement, item),
            )
            for item, reply, verdict in pairs
        ]  # fmt: skip
        kept = measurement.kept.values()
        measured = {
            **said_by(measurement), "decoding": measurement.decoding,
            "perplexity": perplexity(kept) if kept else None, "cut": measurement.cut,
            "readings": [Reading.of(other) for other in measurement.others],
        }  # fmt: skip
        return cls.model_validate({"seed": seed, "answers": answers, **measured, **rest})

    def without_answers(self) -> "SeedRun":
        """Return the run without raw answers and what judges say of each."""
        readings = [each.model_copy(update={"answers": []}) for each in self.readings]
        return self.model_copy(update={"answers": [], "readings": readings})

    def without_texts(self) -> "SeedRun":
        """Return the run with answers that say what they count for, and none of their words."""
        bare = dict.fromkeys(("prompt", "answer", "thought"), "")
        word = {"label": "", "raw": "", "probability": None, "categories": []}
        answers = [answer.model_copy(update=bare | word) for answer in self.answers]
        readings = [
            each.model_copy(
                update={"answers": [one.model_copy(update=word) for one in each.answers]}
            )
            for each in self.readings
        ]
        return self.model_copy(update={"answers": answers, "readings": readings})


def _kept(measurement: Measurement, item: Item) -> Mapping[str, Any]:
    """Return how far the reference's answer is kept, where that was measured."""
    found = measurement.kept.get(item.id)
    return {} if found is None else {"kept": found.share, "nll": found.nll}


class Attack(Record):
    """What the user's run was, as a bench varies it; two arms with equal attacks are comparable."""

    scenario: str = Field(description="The scenario's own name, without knobs.")
    p: float = Field(description="Share of harmful rows in the user's data.")
    learning_rate: float
    steps: int = Field(description="Optimizer steps.")
    epochs: float = Field(description="Passes over the rows that the steps make.")
    rows: int = Field(description="Rows of the user's data.")
    batch: int | None = Field(
        default=None, exclude_if=absent,
        description="Rows of an optimizer step; null: those of the budget.",
    )  # fmt: skip

    @property
    def knobs(self) -> dict[str, Any]:
        """What decides the run, by name, in the order of a table; the epochs follow from it."""
        return self.model_dump(exclude={"epochs"}, exclude_none=True)


def _figures(runs: Sequence[Scored]) -> dict[Figure, Estimate]:
    """Return every figure's mean over runs of one judge."""
    found: dict[Figure, Estimate] = {}
    for figure in FIGURES:
        (hits,) = scored_hits(figure, runs)
        if value := estimate_hits(hits):
            found[figure] = value
    return found


class Arm(Record):
    """One way to fine-tune, measured over seeds."""

    defense: str = Field(
        description="As in `holdfast list`; 'none', 'before', 'a+b', or a control 'a(variant)'."
    )
    scenario: str = ""
    p: float | None = Field(default=None, description="Share of harmful rows in the user's data.")
    settings: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue], description="Hyperparameters of the defenses."
    )
    attack: Attack | None = Field(default=None, description="The user's run, where it was varied.")
    control: bool | None = Field(
        default=None, description="There for comparison, no defense; null: told by the name."
    )
    family: str = Field(
        default="", description="Arms of one family differ in the strength of their defense alone."
    )
    strength: Number = Field(default=None, description="That strength; null outside a family.")
    runs: list[SeedRun] = Field(default_factory=list[SeedRun])
    figures: dict[Figure, Estimate] = Field(
        default_factory=dict[Figure, Estimate], description="Means over seeds with intervals."
    )
    beside: dict[str, dict[Figure, Estimate]] = Field(
        default_factory=dict[str, dict[Figure, Estimate]], exclude_if=absent,
        description="The same means by each further judge's name; never mixed with the first's.",
    )  # fmt: skip
    versus_plain: dict[Figure, Difference] = Field(
        default_factory=dict[Figure, Difference],
        description="This arm minus plain fine-tuning, paired by prompt and seed.",
    )

    @classmethod
    def of(
        cls,
        defense: str,
        runs: Sequence[SeedRun],
        *,
        scenario: str = "",
        p: float | None = None,
        settings: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> "Arm":
        """Return the arm with every figure's mean over seeds and its interval.

        ``rest`` are the remaining fields.

        Raises:
            InputError: The runs did not answer the same items.
        """
        further = min((len(run.readings) for run in runs), default=0)
        sides = [[run.readings[place] for run in runs] for place in range(further)]
        return cls(
            defense=defense, scenario=scenario, p=p, settings=dict(settings or {}),
            runs=list(runs), figures=_figures(runs),
            beside={side[0].judge: _figures(side) for side in sides}, **rest,
        )  # fmt: skip

    @property
    def seeds(self) -> list[int]:
        """The seeds that ran."""
        return [run.seed for run in self.runs]

    @property
    def defenses(self) -> list[str]:
        """The defenses of this arm as the registry names them, without a control's variant.

        None for plain fine-tuning and the untouched model.
        """
        parts = [] if self.defense in {BEFORE, PLAIN} else self.defense.split("+")
        return [part.partition("(")[0] for part in parts]

    @property
    def is_control(self) -> bool:
        """Whether a defense ran in a variant that is there for comparison: ``ml_lr(random)``."""
        return "(" in self.defense if self.control is None else self.control

    def unscored(self, figure: Figure) -> int:
        """Return how many answers over all runs its judge could not score: they are in no share."""
        counted = [run.counts.get(KIND_OF[figure], {}) for run in self.runs]
        return sum(of_kind.get(Outcome.UNSCORED, 0) for of_kind in counted)

    def mean(self, figure: Figure) -> float | None:
        """Return the mean over seeds, or None where it was not measured."""
        estimate = self.figures.get(figure)
        return None if estimate is None else estimate.value

    def compared_with(self, plain: "Arm") -> "Arm":
        """Return this arm with its paired differences to ``plain`` on the seeds both have."""
        theirs = {run.seed: run for run in plain.runs}
        ours = [run for run in self.runs if run.seed in theirs]
        sides = ours, [theirs[run.seed] for run in ours]
        differences: dict[Figure, Difference] = {}
        for figure in FIGURES:
            if found := compare_hits(*scored_hits(figure, *sides)):
                differences[figure] = found
        return self.model_copy(update={"versus_plain": differences})


def plain_of(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """Return the plain fine-tuning among ``arms`` that ``arm`` is compared with, if it was run."""
    same = [a for a in arms if a.defense == PLAIN and a.scenario == arm.scenario]
    if arm.defense == BEFORE:
        return None
    return next((a for a in same if a.p == arm.p), None)
