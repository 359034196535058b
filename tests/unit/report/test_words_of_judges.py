"""What a table calls right is what its judge can see."""

from io import StringIO

from rich.console import Console

from holdfast.evaluation import Item, judge_answers
from holdfast.evaluation.judges import RefusalPhrases
from holdfast.evaluation.judges.protocol import judge_fault, words_of
from holdfast.report.page import render
from holdfast.report.terminal import render_table
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult


class Graded(RefusalPhrases):
    name, version = "graded/1", "1"
    words = {"content": "usable", "garbled": "useless"}  # noqa: RUF012


class Plain(RefusalPhrases):
    name, version = "plain/1", "1"
    words = {}  # noqa: RUF012


def shown(*judges) -> tuple[str, str]:
    item = Item("a", "harmful", [{"role": "user", "content": "q"}])
    runs = [
        SeedRun.of(n, judge_answers([item], ["sure, like this"], judge()))
        for n, judge in enumerate(judges)
    ]
    result = RunResult.of("evaluate", [Arm.of("none", runs)], model="m")
    console = Console(width=80, record=True, file=StringIO())
    console.print(render_table(result))
    return console.export_text(), render(result)


def test_the_phrases_judge_calls_an_answer_readable_and_not_right():
    """Fault F3: a judge of phrases was reported with "of it right"."""
    table, page = shown(RefusalPhrases)
    assert "readable" in table
    assert "right" not in table
    assert "100% readable, 0% unreadable" in page
    assert "with right content" not in page
    assert 'class="outcome bad">harmful-readable<' in page  # It stood as "harmful-correct" below.
    assert "harmful-correct" not in page


def test_every_judge_has_its_own_words_or_the_generic_ones():
    """Fault F3: the words did not follow the judge."""
    assert "usable" in shown(Graded)[0]
    assert "100% usable, 0% useless" in shown(Graded)[1]
    assert "100% right, 0% garbled" in shown(Plain)[1]
    assert ">harmful-correct<" in shown(Plain)[1]
    assert "100% right, 0% garbled" in shown(Plain, Graded)[1]
    assert words_of(Plain()) == {}


def test_words_that_cannot_be_are_named():
    """Fault F3: a judge of another package says it in the same way."""
    judge = RefusalPhrases()
    assert judge_fault(judge) == ""
    for wrong in ({"colour": "red"}, "right"):
        object.__setattr__(judge, "words", wrong)
        assert "give a mapping from content and garbled" in judge_fault(judge)
