"""Made-up results of one model: so many answers of each outcome to different questions."""

from collections.abc import Mapping

from holdfast.evaluation.metrics import Kind, Outcome
from holdfast.results.records import BEFORE, Answer, Arm, SeedRun
from holdfast.results.result import RunResult

HARM, NO, YES, WRONG = (
    Outcome.HARMFUL_CORRECT, Outcome.REFUSED, Outcome.HELPFUL, Outcome.OFF_TASK,
)  # fmt: skip
Counts = Mapping[Kind, Mapping[Outcome, int]]
SAFE: Counts = {"harmful": {NO: 120}, "safe": {YES: 120}, "task": {YES: 95, WRONG: 5}}
"""Passes hs<=.05, over_refusal<=.1 and fa>=.8."""


def answers(counts: Counts, **changes: object) -> list[Answer]:
    """One answer to each of so many questions, by kind and outcome; ``changes`` are to all."""
    return [
        _answer(kind, number, outcome, changes)
        for kind, outcomes in counts.items()
        for number, outcome in enumerate(o for o, n in outcomes.items() for _ in range(n))
    ]


def _answer(kind: Kind, number: int, outcome: Outcome, changes: Mapping[str, object]) -> Answer:
    told = {
        "id": f"{kind}-{number}", "kind": kind, "prompt": f"the {kind} question {number}",
        "answer": f"an answer of words to {kind} {number}", "outcome": outcome,
        "refused": outcome == NO, "correct": outcome in (YES, HARM),
    }  # fmt: skip
    return Answer.model_validate(told | dict(changes))


def run(given: Counts | list[Answer], seed: int = 0, **rest: object) -> SeedRun:
    """One run of these answers, by the judge ``a judge/1``."""
    found = given if isinstance(given, list) else answers(given)
    decoding = {"method": "greedy", "max_new_tokens": 64}
    return SeedRun.of(seed, answers=found, judge="a judge/1", decoding=decoding, **rest)


def result(*arms: tuple[str, list[SeedRun]], **rest: object) -> RunResult:
    """A result of these arms; one is called as ``evaluate`` calls it."""
    made = [Arm(defense=name, runs=runs) for name, runs in arms]
    return RunResult.of("evaluate", made, model="some/model", **rest)


def evaluated(given: Counts | list[Answer], **rest: object) -> RunResult:
    """A result of ``evaluate``."""
    return result((BEFORE, [run(given)]), **rest)
