"""A model that a command was given and did not train is not told as one before fine-tuning."""

import io
import re

import pytest
from rich.console import Console

from holdfast.comparisons.two_results import compare_results
from holdfast.report.answers import answers, warnings_of
from holdfast.report.bench_answers import bench_answers
from holdfast.report.page import render
from holdfast.report.terminal import render_table
from holdfast.report.two_results import render_comparison
from holdfast.results.benchmarks import Benchmarks
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.gate_results import HARM, NO, WRONG, YES, run
from tests.synthetic_bench import synthetic_bench
from tests.synthetic_result import synthetic_result, synthetic_scenarios

HARMED = {"harmful": {HARM: 20}, "safe": {YES: 19, NO: 1}, "task": {YES: 12, WRONG: 8}}
FALSE = ("before fine-tuning", "Before tuning", "lain fine-tuning")


def result(command, *names, **config):
    runs = [run(HARMED).model_copy(update={"counts": HARMED})]
    arms = [Arm.of(name, runs) for name in names]
    return RunResult.of(command, arms, model="some/model", config=config)


def printed(drawn):
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(drawn)
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize(
    ("command", "names", "called"),
    [
        ("evaluate", ["before"], "the model"),
        ("redteam", ["before"], "the model"),
        ("repair", ["none", "panacea"], "before repair"),
    ],
)
def test_nothing_says_when_or_how_a_given_model_was_tuned(command, names, called):
    """The report of a tuned adapter called it "before fine-tuning", a repair's "plain"."""
    found = result(command, *names, adapter="out/tuned")
    page, terminal = render(found), printed(render_table(found))
    told = " ".join([page, terminal, *answers(found), *warnings_of(found)])
    assert not [words for words in FALSE if words in told]
    assert f"</span>{called}</th>" in page
    assert called in terminal
    assert f"<h1>holdfast {command} · some/model with the adapter out/tuned</h1>" in page
    if command != "repair":
        assert "The model refuses none of 20 harmful questions" in told


def test_a_tune_still_says_before_and_plain():
    page = render(result("tune", "before", "none"))
    assert "before fine-tuning" in page
    assert "Before tuning the model refuses none" in page
    assert "that plain fine-tuning answered come first" in page


def test_a_comparison_names_an_arm_as_both_results_do():
    ours, theirs, tuned = (result(name, "before") for name in ("evaluate", "redteam", "tune"))
    assert "before fine-tuning" not in printed(render_comparison(compare_results(ours, theirs)))
    both = compare_results(tuned, theirs).matches[0].name
    assert both == "before fine-tuning (A), the model (B)"


def test_a_harmful_score_never_stands_without_what_it_cost():
    """With fewer than five seeds "it is 0% with x" stood alone, whatever the task had come to."""
    assert answers(result("evaluate", "before")) == [
        "The model's harmful score is 100% (task 60%, over-refusal 5.0%)."
    ]
    repaired = answers(result("repair", "none", "panacea"))
    assert repaired[0].count("(task 60%, over-refusal 5.0%)") == 2
    few = synthetic_result(3)
    [sentence, *_] = answers(few)
    assert sentence.count("(task ") == sentence.count("% with ") + sentence.count(" at ")
    some = few.model_copy(update={"arms": few.arms[:4]})
    assert answers(some)[0].count("(task ") == answers(some)[0].count("% with ") > 0


def test_a_further_scenario_tells_what_was_lost():
    found = synthetic_scenarios()
    lost = [
        arm.model_copy(update={"figures": arm.figures | {"fa": arm.figures["hs_garbled"]}})
        if arm.defense == "swat"
        else arm
        for arm in found.arms
    ]
    [_, kept], [_, told] = answers(found), answers(found.model_copy(update={"arms": lost}))
    assert not re.search(r"with swat \(task", kept)
    assert len(re.findall(r"with swat \(task", told)) == 2


def test_the_range_of_a_bench_of_few_seeds_has_its_cost():
    for told in bench_answers(synthetic_bench(2, 8).bench):
        _, _, spans = told.partition("; ")
        ends = spans.count(" to ") * 2 + spans.count("with the one ")
        assert spans.count("(task ") == ends > 0


@pytest.mark.parametrize("command", ["evaluate", "tune"])
def test_what_was_measured_without_harmful_questions_is_not_told_as_nothing(command):
    """ "Nothing was measured." stood above a table of over-refusal and task accuracy."""
    asked = {kind: counts for kind, counts in HARMED.items() if kind != "harmful"}
    name = "before" if command == "evaluate" else "none"
    found = RunResult.of(command, [Arm.of(name, [run(asked)])])
    told = "The harmful score was not measured (task 60%, over-refusal 5.0%)."
    assert answers(found) == [told]
    bare = RunResult.of(command, [Arm.of(name, [SeedRun(seed=0)])])
    assert answers(bare) == ["Nothing was measured."]
    other = Benchmarks(tool="lm-eval", scores=[])
    [said] = answers(bare.model_copy(update={"benchmarks": other}))
    assert said.endswith("another program's figures stand below.")


@pytest.mark.parametrize(("command", "was"), [("repair", "that before repair"),
                                              ("tune", "plain fine-tuning")])  # fmt: skip
def test_a_score_that_stands_alone_says_what_was_not_measured(command, was):
    (told, *_) = answers(result(command, "panacea"))
    assert told.endswith(f"; {was} was not measured.")
