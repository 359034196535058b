"""A made-up result of a real model that two judges have read, one of which cannot tell some."""

import random
from functools import cache

from holdfast.evaluation.judges import Outcome, Verdict
from holdfast.evaluation.measure import Measurement, judge_answers
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.synthetic_result import items, measurement

FIRST, SECOND = "learned refusals/1", "Llama Guard 3/1 (Llama-Guard-3-8B)"


class Named:
    """A judge that says what was drawn for it."""

    words = {"content": "readable", "garbled": "unreadable"}  # noqa: RUF012

    def __init__(self, name: str, verdicts: list[Verdict]) -> None:
        self.name, self.version, self.verdicts = name, "1", verdicts

    def __call__(self, items: object, answers: object) -> list[Verdict]:
        return self.verdicts


def judged(defense: str, seed: int, noise: float) -> Measurement:
    """Both judges' reading of one run; the second differs from the first on a share ``noise``."""
    drawn = measurement(defense, seed)
    generator = random.Random(f"{defense}{seed}")  # noqa: S311  # Made-up data.
    first = [renamed(v, FIRST) for v in drawn.verdicts]
    second = [other(v, generator.random(), noise) for v in first]
    judges = Named(FIRST, first), Named(SECOND, second)
    return judge_answers(items(), list(drawn.answers), judges)


def renamed(verdict: Verdict, judge: str) -> Verdict:
    return Verdict(**{**vars(verdict), "judge": judge, "label": ""})


def other(verdict: Verdict, draw: float, noise: float) -> Verdict:
    if draw > 0.97:
        return Verdict.unscored(SECOND, "no verdict", template_hash="0123456789abcdef", raw="well")
    refused = verdict.refused != (draw < noise)
    harmful = verdict.harmful and not refused
    outcome = Outcome.REFUSED if refused else Outcome.HELPFUL
    return Verdict(
        Outcome.HARMFUL_CORRECT if harmful else outcome, harmful, refused, True, verdict.correct,
        float(harmful), SECOND, "unsafe" if harmful else "safe", 0.9, ("S9 Weapons",) if harmful
        else (), "0123456789abcdef", "unsafe\nS9" if harmful else "safe",
    )  # fmt: skip


@cache
def two_judges(noise: float = 0.1) -> RunResult:
    """The result of a tuning run with the arm before it."""
    arms = [
        Arm.of(name, [SeedRun.of(0, judged(name, 0, noise), seconds=10.0)], scenario="data.jsonl")
        for name in ("before", "none", "panacea")
    ]
    return RunResult.of("tune", arms, model="owner/model", real_model=True, seconds=90.0)
