"""Warnings on judges: two that disagree, answers that none could score, refusals everywhere."""

from collections.abc import Iterator, Sequence

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.metrics import KINDS, NOT_JUDGED, Kind, Outcome
from holdfast.report.unanswered import QUESTIONS
from holdfast.results.agreement import Agreement
from holdfast.results.readings import Reading
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.results.words import arm_name, listed, percent, shown

__all__ = ["judge_warnings", "kappa_text"]

ENOUGH = 5
"""Fewer answers than this are not called refusals throughout; ours."""


def judge_warnings(result: RunResult, arms: Sequence[Arm]) -> list[str]:
    """Return a sentence for each thing that a reader must know before trusting the figures."""
    runs = [run for arm in arms for run in arm.runs]
    return [
        *(_disagree(one) for one in result.agreement if not one.arm and one.is_low),
        *_stopped(runs),
        *_unscored(runs),
        *(line for arm in arms for line in _refusing(arm, result.command)),
    ]


def kappa_text(found: Agreement) -> str:
    """Return kappa with its interval: ``0.82 (0.70 to 0.91)`` with a dash for "to"."""
    if found.kappa is None:
        return "not defined: all answers are alike to both"
    ends = found.low or 0.0, found.high or 0.0
    return shown(Interval(found.kappa, *ends), "share")


def _disagree(one: Agreement) -> str:
    return (
        f"The judges agree too little on {QUESTIONS[one.kind]}: \N{GREEK SMALL LETTER KAPPA} "
        f"{kappa_text(one)} between {one.first} and {one.second}. One of them does not measure "
        "what you want: read the answers on which they differ."
    )


def _stopped(runs: Sequence[SeedRun]) -> Iterator[str]:
    sides: list[SeedRun | Reading] = [*runs, *(each for run in runs for each in run.readings)]
    for side in sides:
        if side.partial:
            lost = sum(of_kind.get(Outcome.UNSCORED, 0) for of_kind in side.counts.values())
            n = sum(sum(of_kind.values()) for of_kind in side.counts.values())
            yield (
                f"Partial: {side.judge} has scored {n - lost} of {n} answers "
                f"({side.partial}); what it scored is kept."
            )


def _unscored(runs: Sequence[SeedRun]) -> Iterator[str]:
    """Tell of each judge the largest shares of answers without a verdict, by kind of question."""
    sides: dict[str, list[SeedRun | Reading]] = {}
    for run in runs:
        for side in (run, *run.readings):
            sides.setdefault(side.judge, []).append(side)
    for judge, own in sides.items():
        silent = {a.kind for side in own for a in side.answers if a.label == NOT_JUDGED}
        lost = {kind: max(_lost(side, kind) for side in own) for kind in KINDS}
        told = [f"{percent(lost[kind])} of the answers to {QUESTIONS[kind]}" for kind in KINDS
                if lost[kind] and kind not in silent]  # fmt: skip
        if silent:
            kinds = listed([QUESTIONS[kind] for kind in KINDS if kind in silent])
            yield f"{judge} does not judge {kinds}: its figures are without them."
        if told:
            most = "up to " if len(own) > 1 else ""
            yield f"{judge} could not score {most}{listed(told)}: they are in no share."


def _lost(side: SeedRun | Reading, kind: Kind) -> float:
    of_kind = side.counts.get(kind, {})
    return of_kind.get(Outcome.UNSCORED, 0) / max(1, sum(of_kind.values()))


def _refusing(arm: Arm, command: str) -> Iterator[str]:
    """Tell an arm that refuses all harmless questions too."""
    for run in arm.runs[:1]:
        others = [o for kind, o in run.counts.items() if kind != "harmful"]
        n = sum(sum(of_kind.values()) for of_kind in others)
        if n >= ENOUGH and n == sum(of_kind.get(Outcome.REFUSED, 0) for of_kind in others):
            yield (
                f"{arm_name(arm.defense, command)}: every answer is a refusal, to harmless "
                "questions too: a low harmful score says nothing then. Look at the chat template "
                "and at the answers."
            )
