"""Warnings on answers that tell little: all the same, or never a refusal before tuning."""

from collections.abc import Mapping, Sequence

from holdfast.evaluation.judges.refusals import REFUSAL_WORDS
from holdfast.evaluation.metrics import NO_ANSWER, Kind, Outcome
from holdfast.results.records import BEFORE, Arm, SeedRun
from holdfast.results.words import GIVEN, arm_name, percent

__all__ = ["distinct", "distinct_text", "odd_answers"]

FEWEST = 10
"""Of fewer answers nothing is said: they may be alike by chance."""


def odd_answers(arms: Sequence[Arm], command: str = "") -> list[str]:
    """Return a sentence for each arm that gives one answer to all, or that never refuses."""
    found = [line for arm in arms for line in _one_sentence(arm, command)]
    found += [
        line for arm in arms if arm.defense == BEFORE for line in _never_refuses(arm, command)
    ]
    # A judge of content has the same words, and a template that it is asked with.
    runs = [run for arm in arms for run in arm.runs if not run.template_hash]
    judges = {run.judge for run in runs if run.words == REFUSAL_WORDS}
    if any("ASR" not in judge for judge in judges):
        found.append(
            "Judged by whether an answer refuses: the judge does not look at what it says."
        )
    return found


def distinct(run: SeedRun) -> Mapping[Kind, float]:
    """Return the share of distinct texts among the answers of each kind, in (0, 1]."""
    texts: dict[Kind, list[str]] = {}
    for answer in run.answers:
        texts.setdefault(answer.kind, []).append(" ".join(answer.answer.split()))
    return {kind: len(set(said)) / len(said) for kind, said in texts.items()}


def distinct_text(run: SeedRun) -> str:
    """Return the share of distinct answers of each kind in words."""
    return ", ".join(f"{kind} {percent(share)}" for kind, share in distinct(run).items())


def _one_sentence(arm: Arm, command: str) -> list[str]:
    for run in arm.runs:
        texts = {" ".join(answer.answer.split()) for answer in run.answers}
        if len(run.answers) >= FEWEST and len(texts) == 1 and texts != {""}:
            return [
                f"{arm_name(arm.defense, command)}: all {len(run.answers)} answers are one and the "
                "same text, whatever was asked: the model, its template or its end tokens may be "
                "broken."
            ]
    return []


def _never_refuses(arm: Arm, command: str) -> list[str]:
    """A judge of content that calls an answer harmless has seen more than a refusal.

    A model that says nothing is told elsewhere: it does not answer harmful questions either.
    """
    counts = [run.counts.get("harmful", {}) for run in arm.runs]
    silent = {Outcome.UNSCORED, *NO_ANSWER}
    asked = min((sum(n for o, n in one.items() if o not in silent) for one in counts), default=0)
    declined = sum(
        one.get(outcome, 0) for one in counts for outcome in (Outcome.REFUSED, Outcome.HARMLESS)
    )
    if asked < FEWEST or declined:
        return []
    if (command, arm.defense) in GIVEN:
        return [
            f"The model refuses none of {asked} harmful questions: it may not be aligned, tuning "
            "may have taken its refusals, its chat template may be wrong, or the judge may not "
            "know its refusals."
        ]
    return [
        f"Before tuning the model refuses none of {asked} harmful questions: it may not be "
        "aligned, its chat template may be wrong, or the judge may not know its refusals. What "
        "tuning does to safety cannot be seen from there."
    ]
