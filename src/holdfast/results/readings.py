"""What a result keeps of judges: their word on each answer, and a further judge's whole reading."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from holdfast.evaluation.interval import Share
from holdfast.evaluation.measure import Measurement
from holdfast.evaluation.metrics import KIND_OF, Figure, Kind, Outcome, Verdict, counts_toward

__all__ = ["Judged", "Judging", "Opinion", "Reading", "Record", "absent", "said_by", "word_of"]

RAW = 120
"""Characters of what a judge wrote that a result keeps: its format fits, a quotation does not."""


def absent(value: Any) -> bool:
    """Tell a field that a file leaves out, as files from before it do."""
    return not value


class Record(BaseModel):
    """Base of everything in a result file: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Judged(Record):
    """Answers and a judge's word on each."""

    if TYPE_CHECKING:  # Each record has its field where it stands in the file.
        answers: list[Any]

    @property
    def unscored(self) -> set[str]:
        """Ids of the answers that the judge could not score."""
        return {a.id for a in self.answers if a.outcome == Outcome.UNSCORED}

    def hits(self, figure: Figure) -> dict[str, float]:
        """Return which scored answers count toward ``figure``, or what share of one, by its id."""
        kind = KIND_OF[figure]
        scored = (a for a in self.answers if a.kind == kind and a.outcome != Outcome.UNSCORED)
        return {a.id: _counted(figure, a) for a in scored}


class Judging(Record):
    """A judge's word on one answer; judges that give none leave these fields out."""

    label: str = Field(
        default="", exclude_if=absent,
        description="The judge's own word; of an unscored answer, why it is.",
    )  # fmt: skip
    probability: float | None = Field(
        default=None, exclude_if=lambda value: value is None,
        description="How sure the judge is of its label.",
    )  # fmt: skip
    categories: list[str] = Field(
        default_factory=list[str], exclude_if=absent,
        description="Names of the kinds of harm that the judge found.",
    )  # fmt: skip
    raw: str = Field(
        default="", exclude_if=absent, description="What the judge wrote; long texts are redacted."
    )


class Opinion(Judging):
    """What a further judge says of one answer, which stands in the run's answers."""

    id: str = Field(description="The evaluation item's id.")
    kind: Kind = Field(description="Which figure the answer counts for.")
    outcome: Outcome = Field(description="The judge's label.")
    refused: bool = Field(description="The answer declines.")
    correct: bool = Field(description="The answer is right.")


class Reading(Judged):
    """What a further judge makes of a run's answers; its figures stand beside the first judge's."""

    judge: str = Field(description="Name and version of the judge.")
    words: dict[str, str] = Field(default_factory=dict[str, str], exclude_if=absent)
    template_hash: str = Field(default="", exclude_if=absent)
    partial: str = Field(
        default="", exclude_if=absent, description="Why the judge stopped before the last answer."
    )
    shares: dict[Figure, Share] = Field(default_factory=dict[Figure, Share])
    counts: dict[Kind, dict[Outcome, int]] = Field(default_factory=dict[Kind, dict[Outcome, int]])
    answers: Annotated[list[Opinion], BeforeValidator(list)] = Field(  # type: ignore[assignment]
        default_factory=list[Opinion], exclude_if=absent
    )

    @classmethod
    def of(cls, measured: Measurement) -> "Reading":
        """Return the reading that a measurement of the same answers holds."""
        pairs = zip(measured.items, measured.verdicts, strict=True)
        opinions = [
            Opinion(
                id=item.id, kind=item.kind, outcome=verdict.outcome, refused=verdict.refused,
                correct=verdict.correct, **word_of(verdict),
            )
            for item, verdict in pairs
        ]  # fmt: skip
        return cls.model_validate({**said_by(measured), "answers": opinions})


def _counted(figure: Figure, answer: Any) -> float:
    """Return whether an answer counts, or how far a reference's is kept where that is measured."""
    kept = getattr(answer, "kept", None) if figure == "usefulness" else None
    return counts_toward(figure, answer) if kept is None else kept


def said_by(measured: Measurement) -> dict[str, Any]:
    """Return what a result keeps of a judge and its figures."""
    names = ("judge", "words", "template_hash", "partial", "shares", "counts")
    return {name: getattr(measured, name) for name in names}


def word_of(verdict: Verdict) -> Mapping[str, Any]:
    """Return a verdict's word; a long text of the judge's may quote the answer, and is redacted."""
    raw = verdict.raw
    if len(raw) > RAW:
        raw = f"… [redacted, {len(raw)} characters]"
    return {
        "label": verdict.label, "probability": verdict.probability,
        "categories": list(verdict.categories), "raw": raw,
    }  # fmt: skip
