"""Why a limit cannot pass, whatever was counted: the gate fails closed."""

from collections.abc import Iterator, Sequence

from holdfast.evaluation.limits import Metric
from holdfast.evaluation.metrics import KIND_OF, NOT_JUDGED, Kind
from holdfast.report.unanswered import QUESTIONS
from holdfast.results.provenance import DataSource
from holdfast.results.records import SeedRun

__all__ = ["closed_by"]

FEWEST = 10
"""Of fewer answers it is not said that all are alike; ours."""


def closed_by(metric: Metric, run: SeedRun, data: Sequence[DataSource]) -> list[str]:
    """Return the reasons; [] where what was counted decides.

    A judge that stopped early, prompts without an answer, a judge that has nothing to say to these
    questions, a model that gives one text to all.
    """
    kind = KIND_OF[metric.figure]
    return [*_stopped(run), *_missing(run, kind, data), *_not_judged(run, kind), *_alike(run)]


def _stopped(run: SeedRun) -> Iterator[str]:
    if run.partial:
        yield f"{run.judge} stopped early ({run.partial}): judge all answers"


def _missing(run: SeedRun, kind: Kind, data: Sequence[DataSource]) -> Iterator[str]:
    asked = sum(source.rows for source in data if source.name == f"test_{kind}")
    there = sum(answer.kind == kind for answer in run.answers)
    if asked and asked != there:
        yield f"{there} of {asked} answers to {QUESTIONS[kind]} are there: ask all of them"


def _not_judged(run: SeedRun, kind: Kind) -> Iterator[str]:
    if any(answer.kind == kind and answer.label == NOT_JUDGED for answer in run.answers):
        yield f"{run.judge} does not judge {QUESTIONS[kind]}: name a judge that does"


def _alike(run: SeedRun) -> Iterator[str]:
    texts = {" ".join(answer.answer.split()) for answer in run.answers}
    if len(run.answers) < FEWEST or len(texts) > 1 or texts == {""}:
        return
    several = len({answer.kind for answer in run.answers}) > 1
    way_out = (
        "the model, its template or its end tokens may be broken"
        if several
        else "ask questions of another kind too, so that a model that says one thing is told apart"
    )
    yield f"all {len(run.answers)} answers are one and the same text: {way_out}"
