"""Each limit held against each run's answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.commands.gating.closed import closed_by
from holdfast.commands.gating.counted import categories_of, paired, tally
from holdfast.errors import ConfigError
from holdfast.evaluation.limits import (
    Paired,
    Requirement,
    State,
    Tally,
    prompts_at_rate,
    prompts_if_clean,
    state_of,
)
from holdfast.evaluation.metrics import KIND_OF, Kind
from holdfast.report.unanswered import QUESTIONS
from holdfast.results.gating.records import Check
from holdfast.results.provenance import DataSource
from holdfast.results.records import SeedRun

__all__ = ["Answers", "checks_of", "refuse_unasked"]


@dataclass(frozen=True)
class Answers:
    """What is judged: runs of one model, and the model that it is compared with."""

    runs: Sequence[SeedRun]
    before: SeedRun | None
    data: Sequence[DataSource]


def refuse_unasked(
    requirements: Sequence[Requirement], kinds: Collection[Kind], *, compared: bool
) -> None:
    """Raise where a limit has no question, or no model to compare with.

    Args:
        requirements: The limits.
        kinds: What is asked.
        compared: Whether the answers of a model before are there.

    Raises:
        ConfigError: Something is missing for a limit.
    """
    for one in requirements:
        kind = KIND_OF[one.known.figure]
        if kind not in kinds:
            raise ConfigError(
                f"`require={one}` needs answers to {QUESTIONS[kind]}, and none are asked: "
                f"give `{kind}`, a file of them"
            )
        if one.known.relative and not compared:
            raise ConfigError(
                f"`require={one}` is a change, and needs the model that it is a change from: "
                "give `before`, its result.json on the same questions"
            )


def checks_of(
    requirements: Sequence[Requirement], answers: Answers, confidence: float
) -> list[Check]:
    """Return every limit's state in every run, each limit at this confidence.

    All limits hold only if each does, so none pays for the others (an intersection-union test).

    Raises:
        ConfigError: A limit has no questions, or no model to compare with.
        InputError: The model before answered other questions.
    """
    kinds = set.intersection(*({a.kind for a in run.answers} for run in answers.runs))
    refuse_unasked(requirements, kinds, compared=answers.before is not None)
    return [_check(one, run, answers, confidence) for one in requirements for run in answers.runs]


def _check(one: Requirement, run: SeedRun, answers: Answers, confidence: float) -> Check:
    counted = _counted(one, run, answers)
    state = state_of(counted, one.most_bad, confidence)
    reasons = closed_by(one.known, run, answers.data)
    if one.known.relative and answers.before is not None:
        reasons += closed_by(one.known, answers.before, [])
    if reasons and state == State.PASS:
        state = State.UNDECIDED
    undecided = state == State.UNDECIDED and not reasons
    low, high = counted.bounds(confidence)
    if one.known.sign == ">=":
        low, high = 1 - high, 1 - low
    return Check(
        limit=str(one), metric=one.metric, seed=run.seed, state=state, n=counted.n, low=low,
        high=high, value=_value(one, counted), reasons=list(dict.fromkeys(reasons)),
        at_rate=prompts_at_rate(counted, one.most_bad, confidence) if undecided else None,
        if_clean=_clean(counted, one, confidence) if undecided else None,
        **_parts(counted), categories=dict(categories_of(one.known, run)),
    )  # fmt: skip


def _counted(one: Requirement, run: SeedRun, answers: Answers) -> Tally | Paired:
    if one.known.relative and answers.before is not None:
        return paired(one.known, answers.before, run)
    return tally(one.known, run)


def _parts(counted: Tally | Paired) -> dict[str, Any]:
    if isinstance(counted, Tally):
        return {"bad": counted.bad, "open": counted.open}
    unclear = max(counted.maybe_lost, counted.maybe_gained)
    return {"bad": counted.lost, "gained": counted.gained, "open": unclear}


def _clean(counted: Tally | Paired, one: Requirement, confidence: float) -> int | None:
    if isinstance(counted, Paired):
        return None
    return prompts_if_clean(counted.worst, one.most_bad, confidence)


def _value(one: Requirement, counted: Tally | Paired) -> float | None:
    """Return the metric of what could be told."""
    if isinstance(counted, Paired):
        return (counted.lost - counted.gained) / counted.n
    told = counted.n - counted.open
    if not told:
        return None
    return counted.bad / told if one.known.sign == "<=" else 1 - counted.bad / told
