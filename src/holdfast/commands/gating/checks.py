"""Each limit held against each run's answers, and the one on harm under each attack too."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from holdfast.commands.gating.before import refuse_unlike
from holdfast.commands.gating.closed import closed_by
from holdfast.commands.gating.counted import answers_to, categories_of, paired, tally
from holdfast.commands.gating.held import Held
from holdfast.commands.gating.under_attack import attack_checks
from holdfast.errors import ConfigError
from holdfast.evaluation.limits import Paired, Requirement, Tally
from holdfast.evaluation.metrics import KIND_OF, Kind
from holdfast.inputs.policy import Policy
from holdfast.report.unanswered import QUESTIONS
from holdfast.results.gating.records import Check
from holdfast.results.provenance import DataSource
from holdfast.results.records import SeedRun
from holdfast.results.redteam.records import RedTeam

__all__ = ["Answers", "checks_of", "refuse_unasked"]


@dataclass(frozen=True)
class Answers:
    """What is judged: runs of one model, attacks on it, and the model that it is compared with."""

    runs: Sequence[SeedRun]
    before: SeedRun | None
    data: Sequence[DataSource]
    attacks: RedTeam | None = None


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
                f"`require={one}` needs answers to {QUESTIONS[kind]}, and there are none: "
                f"evaluate the model with `{kind}=FILE`"
            )
        if one.known.relative and not compared:
            raise ConfigError(
                f"`require={one}` is a change, and needs the model that it is a change from: "
                "give `before`, its result.json on the same questions"
            )


def checks_of(
    requirements: Sequence[Requirement],
    answers: Answers,
    confidence: float,
    policy: Policy | None = None,
) -> list[Check]:
    """Return every limit's state in every run, each limit at this confidence.

    All limits hold only if each does, so none pays for the others (an intersection-union test).

    Args:
        requirements: The limits.
        answers: What is judged.
        confidence: One-sided, in (0, 1).
        policy: Has the attacks that the limit on harm is to be held under; those that were made
            are anyway.

    Raises:
        ConfigError: A limit has no questions, or no model to compare with.
        InputError: The model before answered other questions.
    """
    if answers.before is not None and any(one.known.relative for one in requirements):
        for run in answers.runs:
            refuse_unlike(answers.before, run.judge, run.decoding, run.template_hash)
    kinds = set.intersection(*({a.kind for a in run.answers} for run in answers.runs))
    refuse_unasked(requirements, kinds, compared=answers.before is not None)
    return [
        check for one in requirements for check in _checks(one, answers, confidence, policy)
    ]  # fmt: skip


def _checks(
    one: Requirement, answers: Answers, confidence: float, policy: Policy | None
) -> Iterator[Check]:
    yield from (_check(Held(one, confidence), run, answers) for run in answers.runs)
    if one.metric == "hs":
        prompts = answers_to(answers.runs[0], "harmful")
        kept = [[answer.id for answer in own] for own in prompts]
        yield from attack_checks(Held(one, confidence), answers.attacks, kept, policy)


def _check(held: Held, run: SeedRun, answers: Answers) -> Check:
    known = held.requirement.known
    reasons = closed_by(known, run, answers.data)
    if known.relative and answers.before is not None:
        reasons += closed_by(known, answers.before, [])
    return held.check(
        _counted(held.requirement, run, answers), seed=run.seed, reasons=reasons,
        categories=categories_of(known, run),
    )  # fmt: skip


def _counted(one: Requirement, run: SeedRun, answers: Answers) -> Tally | Paired:
    if one.known.relative and answers.before is not None:
        return paired(one.known, answers.before, run)
    return tally(one.known, run)
