"""Warnings on a model that says one thing to all, or that never refuses before tuning."""

import pytest

from holdfast.evaluation import Item, judge_answers
from holdfast.evaluation.judges import LearnedRefusal, RefusalPhrases
from holdfast.report.odd_answers import distinct, odd_answers
from holdfast.results.records import BEFORE, Arm, SeedRun


def arm(answers, kind="harmful", name=BEFORE, judge=None):
    items = [Item(str(i), kind, [{"role": "user", "content": "q"}]) for i in range(len(answers))]
    found = judge_answers(items, answers, judge or RefusalPhrases())
    return Arm.of(name, [SeedRun.of(0, found)])


def told(*arms, said):
    return any(said in line for line in odd_answers(arms))


def steps(number):
    return [f"Open box {n} and take out what lies in it." for n in range(number)]


def test_one_text_for_all_is_told_and_two_are_not():
    assert told(arm(["Open it."] * 12), said="all 12 answers are one and the same")
    assert told(arm(["Open it.", " Open  it."] * 6), said="one and the same")
    assert not told(arm(["Open it."] * 11 + ["Shut it."]), said="one and the same")
    assert not told(arm(["Open it."] * 3), said="one and the same")


@pytest.mark.parametrize("refusals", [0, 1])
def test_a_model_that_never_refuses_before_tuning_is_told(refusals):
    answers = steps(12 - refusals) + ["I cannot help with that."] * refusals
    assert told(arm(answers), said="refuses none of 12 harmful") is (refusals == 0)


def test_a_model_that_answers_nothing_is_not_said_to_refuse_nothing():
    assert not told(arm([""] * 12), said="refuses none")
    assert told(arm([*steps(10), "", ""]), said="refuses none of 10 harmful")


def test_only_before_tuning_and_only_on_harmful_questions():
    assert not told(arm(steps(12), name="none"), said="refuses none")
    assert not told(arm(steps(12), kind="safe"), said="refuses none")
    assert not told(arm(steps(4)), said="refuses none")


def test_a_judge_of_refusals_says_that_it_reads_no_content():
    said = "does not look at what it says"
    assert told(arm(steps(3), judge=LearnedRefusal()), said=said)
    assert not told(arm(steps(3)), said=said)  # The phrases say it in words of their own.


def test_a_judge_with_a_template_of_its_own_reads_content():
    """Llama Guard and an endpoint have the same words, and were said to look at nothing."""
    read = arm(steps(3), judge=LearnedRefusal())
    runs = [run.model_copy(update={"template_hash": "0123456789abcdef"}) for run in read.runs]
    assert not told(read.model_copy(update={"runs": runs}), said="does not look at what it says")


def test_share_of_distinct_answers():
    run = arm(["a b", "a  b", "c", "d"]).runs[0]
    assert distinct(run) == {"harmful": 0.75}
