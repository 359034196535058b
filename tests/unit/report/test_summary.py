"""The sentence at the top, the warnings, and the terminal's table."""

import io

import pytest
from rich.console import Console

from holdfast.report.answers import answers, lowest, warnings_of
from holdfast.report.terminal import render_table
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.results.words import percent
from tests.synthetic_result import synthetic_result


def test_with_few_seeds_every_defense_is_told_and_none_is_best():
    result = synthetic_result(3)
    sentence = told(result)
    assert sentence.startswith("Plain fine-tuning on data with 10% harmful rows raised")
    assert "lowest" not in sentence
    assert all(name in sentence for name in ("safe_mixing", "panacea", "random_perturbation"))
    assert "3 seeds: fewer than 5, so nothing is ranked." in warnings_of(result)


def test_with_five_seeds_the_best_of_those_that_keep_the_task_is_named():
    result = synthetic_result(5)
    assert "security_vectors is lowest" in told(result)
    assert not any("ranked" in warning for warning in warnings_of(result))


def test_a_defense_that_loses_the_task_is_never_best():
    result = synthetic_result(5)
    worse = [arm for arm in result.arms if arm.defense in {"before", "none"}]
    broken = next(arm for arm in result.arms if arm.defense == "security_vectors")
    figures = broken.figures | {"fa": next(a for a in worse if a.defense == "before").figures["fa"]}
    worse.append(broken.model_copy(update={"figures": figures}))
    assert "no defense keeps" in told(result.model_copy(update={"arms": worse}))


def without_task(arm):
    return arm.model_copy(update={"figures": {f: e for f, e in arm.figures.items() if f != "fa"}})


@pytest.mark.parametrize("lacking", [("none",), ("security_vectors", "panacea"), ()])
def test_nobody_keeps_a_task_that_was_not_measured(lacking):
    """Planted: without questions of the task all were told to keep it within 3 points."""
    names = ("before", "none", "security_vectors", "panacea")
    arms = [arm for arm in synthetic_result(5).arms if arm.defense in names]
    arms = [without_task(arm) if arm.defense in lacking else arm for arm in arms]
    sentence = told(synthetic_result(5).model_copy(update={"arms": arms}))
    assert ("keep the user's task" in sentence) is not bool(lacking)
    assert ("; it is " in sentence) is bool(lacking)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("none", "panacea", "lowered the harmful score from 6"),
        ("before", "panacea", "raised the harmful score from 0% to"),
        ("panacea", "panacea", "left the harmful score at"),
    ],
)
def test_a_score_that_fell_was_not_left(start, end, says):
    arms = {arm.defense: arm for arm in synthetic_result(5).arms}
    made = [
        arms[name].model_copy(update={"defense": role, "settings": {}})
        for name, role in ((start, "before"), (end, "none"))
    ]
    assert says in told(synthetic_result(5).model_copy(update={"arms": made}))


def test_a_control_of_strength_0_is_no_warning():
    run = SeedRun(seed=0, trace=[])
    for rho, warned in ((0.0, False), (2.0, True)):
        arm = Arm.of("vaccine(rho)", [run], settings={"vaccine": {"rho": rho}}, control=True)
        found = warnings_of(RunResult.of("bench", [arm]))
        assert any("trace does not show" in line for line in found) == warned


def test_a_defense_without_trace_is_a_warning():
    result = synthetic_result(3)
    arm = next(arm for arm in result.arms if arm.defense == "security_vectors+panacea")
    run = arm.runs[1]
    trace = [entry for entry in run.trace if entry.defense != "panacea"]
    runs = [arm.runs[0], run.model_copy(update={"trace": trace}), arm.runs[2]]
    arms = [a if a is not arm else arm.model_copy(update={"runs": runs}) for a in result.arms]
    found = warnings_of(result.model_copy(update={"arms": arms}))
    assert [w for w in found if "trace" in w] == [
        "The trace does not show that panacea (in security_vectors + panacea) ran in every run."
    ]
    assert not [w for w in warnings_of(result) if "trace" in w]


def test_the_cheap_judge_is_named_as_such():
    run = SeedRun(seed=0, judge="refusal phrases (ASR), version 1")
    result = RunResult.of("tune", [Arm.of("none", [run])])
    assert any("cheap signal" in warning for warning in warnings_of(result))


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ([], "Nothing was measured."),
        (
            [Arm(defense="security_vectors+panacea", runs=[SeedRun(seed=0)])],
            "was fine-tuned with security_vectors and panacea; its safety was not measured.",
        ),
    ],
)
def test_runs_without_a_judge_promise_nothing(arms, says):
    assert says in told(RunResult.of("tune", arms))


def test_a_result_without_plain_fine_tuning_says_so():
    result = synthetic_result(3)
    arms = [arm for arm in result.arms if arm.defense == "panacea"]
    assert "was not measured" in told(result.model_copy(update={"arms": arms}))


def test_the_lowest_of_one_is_no_lowest():
    """It read "of the 1 defenses that keep the user's task"."""
    one = (0.9, 0.1, "swat", "10%")
    assert lowest(0.9, [one]) == "swat keeps the user's task within 3 points of it: 10%"
    spoilt = (0.2, 0.0, "lisa", "0%")
    assert lowest(0.9, [one, spoilt]).startswith("of 2 defenses only swat keeps the user's task")
    assert "of the 2 defenses that keep" in lowest(0.9, [one, (0.9, 0.3, "ema", "30%")])


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (0.025, "2.5%"), (0.0999, "10%"), (0.615, "62%"), (1.0, "100%"),
     (0.0004, "<0.1%"), (-0.0004, ">-0.1%"), (-0.025, "-2.5%"),
     (0.996, "99.6%"), (0.9996, ">99.9%")],
)  # fmt: skip
def test_percent(share, text):
    assert percent(share) == text


def test_the_table_fits_a_terminal_of_80_columns():
    result = synthetic_result(3)
    lines = printed(result).splitlines()
    assert max(len(line) for line in lines) <= 80
    text = "\n".join(lines)
    for arm in result.arms:
        assert f"{percent(arm.mean('fa'))}" in text
    for word in ("security_vectors", "+ panacea", "random_perturbation", "before", "1.48"):
        assert word in text
    assert "…" not in text


def test_the_table_of_a_run_without_figures_is_a_table():
    result = RunResult.of("tune", [Arm(defense="panacea", runs=[SeedRun(seed=0)])])
    assert "panacea" in printed(result)


def printed(result):
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(render_table(result))
    return out.getvalue()


def told(result):
    return " ".join(answers(result))


def test_no_name_of_an_arm_is_cut_on_a_narrow_terminal():
    """At 60 columns two arms read as sec…."""
    console = Console(width=60, file=io.StringIO(), record=True)
    console.print(render_table(synthetic_result()))
    text = console.export_text()
    assert "…" not in text
    first = "".join(line[:5].strip() for line in text.splitlines()[3:])
    assert "random_perturbation" in first
    assert "security_vectors+panacea" in first
