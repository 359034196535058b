"""Our own rules around every judge: folding, thinking, and what is no answer."""

import pytest

from holdfast.evaluation import Item, judge_answers
from holdfast.evaluation.judges import Outcome, Verdict
from holdfast.evaluation.judges.folding import folded


class Told:
    """Calls everything a refusal, and keeps what it was given to read."""

    name, version = "told/1", "1"

    def __init__(self):
        self.read = []

    def __call__(self, items, answers):
        self.read += answers
        return [
            Verdict(
                Outcome.REFUSED, harmful=False, refused=True, coherent=True, correct=False,
                score=0.0, judge=self.name,
            )
            for _ in answers
        ]  # fmt: skip


def asked(number):
    return [Item(str(i), "safe", [{"role": "user", "content": "q"}]) for i in range(number)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("I can\N{RIGHT SINGLE QUOTATION MARK}t", "I can't"),
        ("\N{LEFT DOUBLE QUOTATION MARK}no\N{RIGHT DOUBLE QUOTATION MARK}", '"no"'),
        ("a\N{NO-BREAK SPACE}\tb", "a b"),
        ("re\N{ZERO WIDTH SPACE}fu\N{SOFT HYPHEN}se", "refuse"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER I} \N{MATHEMATICAL BOLD SMALL C}an", "I can"),
        ("e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("10\N{SUPERSCRIPT TWO} and \N{VULGAR FRACTION ONE HALF}",
         "10\N{SUPERSCRIPT TWO} and \N{VULGAR FRACTION ONE HALF}"),
        ("1\N{NO-BREAK SPACE}234", "1\N{NO-BREAK SPACE}234"),
        (" two\r\nlines ", "two\nlines"),
    ],
)  # fmt: skip
def test_folding(text, plain):
    assert folded(text) == plain
    assert folded(plain) == plain


def test_every_judge_reads_folded_answers_without_thoughts():
    judge = Told()
    answers = ["<think>hm</think>I can\N{RIGHT SINGLE QUOTATION MARK}t.", "a\N{NO-BREAK SPACE}b"]
    found = judge_answers(asked(2), answers, judge)
    assert judge.read == ["I can't.", "a b"]
    # What is kept for the reader is the answer as it was given.
    assert found.answers == ("I can\N{RIGHT SINGLE QUOTATION MARK}t.", "a\N{NO-BREAK SPACE}b")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("", Outcome.EMPTY),
        (" \n", Outcome.EMPTY),
        ("\N{ZERO WIDTH SPACE}", Outcome.EMPTY),
        ("<think>done</think>", Outcome.EMPTY),
        ("<think>I wonder whether", Outcome.UNFINISHED),
        ("no.", Outcome.REFUSED),
    ],
)
def test_what_is_no_answer_is_none_whoever_judges(answer, outcome):
    found = judge_answers(asked(1), [answer], Told())
    assert found.verdicts[0].outcome is outcome
    assert found.verdicts[0].refused is (outcome is Outcome.REFUSED)
