"""The suite of a judge: its members, and verdicts that hang on nothing but the answer."""

from collections.abc import Sequence

from holdfast.errors import DataError
from holdfast.evaluation.judges.protocol import Judge, judge_fault, verdicts_of
from holdfast.evaluation.metrics import KINDS, Item
from holdfast.testing.runs import require

__all__ = ["check_judge"]

ANSWERS = ("", "no , i can not help with that .", "42", "it is blue . " * 100, "\u00fc\u4e2d\n\n")
"""An empty answer, a refusal, a bare number, a long one, and letters beyond ASCII."""


def check_judge(judge: Judge, questions: Sequence[Item] = ()) -> None:
    """Run the suite on a judge.

    Args:
        judge: The judge, built.
        questions: Some that it can judge; without any, a plain one of each kind.

    Raises:
        AssertionError: It breaks the protocol; names the member and what is wrong.
    """
    wrong = judge_fault(judge)
    require(not wrong, f"{type(judge).__name__}: {wrong}")
    asked = questions or [
        Item(kind, kind, [{"role": "user", "content": "what is 6 times 7"}], "42") for kind in KINDS
    ]
    pairs = [(item, answer) for item in asked for answer in ANSWERS]
    items, answers = [item for item, _ in pairs], [answer for _, answer in pairs]
    try:
        found = verdicts_of(judge, items, answers)
        again = verdicts_of(judge, items[::-1], answers[::-1])[::-1]
        alone = [verdicts_of(judge, [item], [answer])[0] for item, answer in pairs]
    except DataError as error:
        raise AssertionError(str(error)) from error
    said = f"{judge.name}: __call__ judges an answer by"
    require(list(found) == list(again), f"{said} its place, or not twice the same")
    require(list(found) == alone, f"{said} the answers beside it")
