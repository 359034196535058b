"""Warnings on answers that were cut at the limit of tokens, and on those that are no answers."""

from collections.abc import Sequence

from holdfast.evaluation.metrics import KINDS, NO_ANSWER, Kind, Outcome
from holdfast.results.records import Arm, SeedRun
from holdfast.results.words import percent

__all__ = ["QUESTIONS", "unanswered"]

QUESTIONS: dict[Kind, str] = {
    "harmful": "harmful questions", "safe": "safe questions", "task": "questions of the task",
    "useful": "questions of usefulness",
}  # fmt: skip
_WORDS = {
    Outcome.EMPTY: "are empty",
    Outcome.REPEATED: "say one thing over and over",
    Outcome.UNFINISHED: "hold a thought that never ended, and no answer",
}


def unanswered(arms: Sequence[Arm]) -> list[str]:
    """Return a sentence for each kind of question with cut answers, and for each way of none.

    Of several runs the one with most is told.
    """
    runs = [run for arm in arms for run in arm.runs]
    return [line for kind in KINDS for line in (*_cut(kind, runs), *_none(kind, runs))]


def _cut(kind: Kind, runs: Sequence[SeedRun]) -> list[str]:
    run = max(runs, key=lambda run: run.cut.get(kind, 0.0), default=None)
    share = 0.0 if run is None else run.cut.get(kind, 0.0)
    if run is None or share == 0:
        return []
    limit = run.decoding.get("max_new_tokens", "the most")
    return [
        f"{_most(runs)}{percent(share)} of the answers to {QUESTIONS[kind]} were cut at {limit} "
        "tokens and judged as far as they go: raise max_new_tokens."
    ]


def _none(kind: Kind, runs: Sequence[SeedRun]) -> list[str]:
    told: list[str] = []
    for outcome in sorted(NO_ANSWER):
        shares = [_share(run, kind, outcome) for run in runs]
        if worst := max(shares, default=0.0):
            said = f"of the answers to {QUESTIONS[kind]} {_WORDS[outcome]}"
            told.append(f"{_most(runs)}{percent(worst)} {said}: they count as no answer.")
    return told


def _share(run: SeedRun, kind: Kind, outcome: Outcome) -> float:
    counted = run.counts.get(kind, {})
    return counted.get(outcome, 0) / max(1, sum(counted.values()))


def _most(runs: Sequence[SeedRun]) -> str:
    return "Up to " if len(runs) > 1 else ""
