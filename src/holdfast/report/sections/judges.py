"""What further judges make of the same answers: their figures, agreement, and where they differ."""

from collections.abc import Mapping
from typing import Any

from holdfast.evaluation.kappa import LOW
from holdfast.report.judge_warnings import kappa_text
from holdfast.report.sections.arms import COLUMNS
from holdfast.report.sections.samples import shown_answer
from holdfast.report.shown import Shown
from holdfast.results.agreement import Agreement, disagreements
from holdfast.results.records import Answer, Arm, SeedRun
from holdfast.results.words import arm_name, outcome_name

__all__ = ["KINDS", "section"]

KINDS = {
    "harmful": "harmful questions", "safe": "safe questions", "task": "the user's task",
    "useful": "usefulness",
}  # fmt: skip
PER_KIND = 3
"""Answers of each kind on which two judges differ that are shown; ours."""
Differing = tuple[str, Answer, str, str]
"""The arm, the answer as it is shown, and what the first and the second judge call it."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return each further judge's figures beside the first one's, and how far the two agree."""
    result = shown.result
    arms = [arm for arm in result.arms if arm.beside]
    if not arms:
        return None
    told = [one for one in result.agreement if _tells(one)]
    return {
        "first": arms[0].runs[0].judge,
        "others": list(arms[0].beside),
        "arms": arms,
        "columns": [(f, head) for f, head in COLUMNS if any(f in a.figures for a in arms)],
        "overall": [one for one in told if not one.arm],
        "by_arm": [one for one in told if one.arm],
        "kappa": kappa_text,
        "kinds": KINDS,
        "low": LOW,
        "differing": _differing(arms, shown),
        "redacted": shown.redacted,
    }


def _tells(one: Agreement) -> bool:
    """Leave out questions with a right answer on which judges agree: both compare with it."""
    return one.kind in ("harmful", "safe") or one.differ > 0


def _differing(arms: list[Arm], shown: Shown) -> list[Differing]:
    """Return the first answers of each kind on which the first two judges differ."""
    found: list[Differing] = []
    for kind in KINDS:
        of_kind = [one for arm in arms for one in _in(arm, arm.runs[0], kind, shown)]
        found += of_kind[:PER_KIND]
    return found


def _in(arm: Arm, run: SeedRun, kind: Any, shown: Shown) -> list[Differing]:
    if not run.readings or not run.readings[0].answers:
        return []
    names = disagreements(run, run.readings[0], kind)[:PER_KIND]
    ours = {answer.id: answer for answer in run.answers}
    theirs = {answer.id: answer for answer in run.readings[0].answers}
    called = arm_name(arm.defense, shown.result.command)
    return [
        (called, shown_answer(ours[name], shown.redacted), _word(ours[name], run.words),
         _word(theirs[name], run.readings[0].words))
        for name in names
    ]  # fmt: skip


def _word(answer: Any, words: Mapping[str, str]) -> str:
    """Return what a judge calls an answer, in its own word beside ours where it has one."""
    own = f" ({answer.label})" if answer.label and answer.label != answer.outcome else ""
    return f"{outcome_name(answer.outcome, words)}{own}"
