"""How far the model moved: means and ranges, and a sentence that also tells what is against us."""

import pytest

from holdfast.comparisons.scenes import scenes
from holdfast.report.page import render
from holdfast.report.sections.movement import Spread, movement_rows, movements
from holdfast.results.records import Arm, Movement, SeedRun
from holdfast.results.result import RunResult
from holdfast.results.words import percent
from tests.synthetic_result import MOVED, synthetic_scenarios


def arm(defense, *outside, drift=None, first_seed=0):
    runs = [
        SeedRun(seed=first_seed + n, movement=Movement(outside=value, probe_drift=drift))
        for n, value in enumerate(outside)
    ]
    return Arm(defense=defense, runs=runs)


def test_less_movement_is_told_with_its_figures():
    assert movements([arm("none", 4.0, 6.0), arm("ml_lr", 1.0, 1.5)]) == [
        "ml_lr moved the weights outside Mods_Rob 75% less (1.25 against 5, less in 2 of 2 seeds)"
    ]


def test_more_movement_is_told_as_plainly():
    [said] = movements([arm("none", 4.0, 6.0, drift=0.1), arm("swat", 5.0, 5.5, drift=0.2)])
    assert "outside Mods_Rob 5.0% more (5.25 against 5, less in 1 of 2 seeds)" in said
    assert "the probe's features 100% more (0.2 against 0.1" in said


def test_the_same_movement_is_neither():
    [said] = movements([arm("none", 4.0), arm("swat", 4.0)])
    assert "as far (4 against 4, less in 0 of 1 seeds)" in said


def test_only_seeds_that_both_have_are_compared():
    plain, ours = arm("none", 4.0, 100.0), arm("ml_lr", 2.0)
    [said] = movements([plain, ours])
    assert "50% less (2 against 4, less in 1 of 1 seeds)" in said
    assert movements([plain, arm("ml_lr", 2.0, first_seed=7)]) == []


def test_without_plain_or_defenses_nothing_is_said():
    assert movements([arm("ml_lr", 2.0)]) == []
    control = arm("mine", 3.0).model_copy(update={"control": True})
    others = [arm("swat(random)", 1), arm("swat+panacea", 1), control]
    assert movements([arm("none", 2.0), *others]) == []


def test_every_single_defense_is_compared_whatever_its_name():
    mine, panacea = movements([arm("none", 2.0), arm("mine", 1.0), arm("panacea", 3.0)])
    assert "mine moved the weights outside Mods_Rob 50% less" in mine
    assert "panacea moved the weights outside Mods_Rob 50% more" in panacea


def test_a_model_that_did_not_move_is_no_division_by_zero():
    ml_lr, swat = movements([arm("none", 0.0), arm("ml_lr", 0.0), arm("swat", 1.0)])
    assert "ml_lr moved the weights outside Mods_Rob as far" in ml_lr
    assert "swat moved the weights outside Mods_Rob more (1 against 0" in swat


def test_rows_are_means_with_least_and_most():
    rows = movement_rows([arm("none", 4.0, 6.0, 8.0), Arm(defense="swat", runs=[SeedRun(seed=0)])])
    assert [row.arm.defense for row in rows] == ["none"]
    assert rows[0].outside == Spread(6.0, 4.0, 8.0, seeds=3)
    assert rows[0].probe_drift is None


def test_the_page_shows_it_for_each_scenario_that_has_it():
    result = synthetic_scenarios()
    page = render(result)
    section = page[page.index('<section id="movement">') :].split("</section>")[0]
    assert section.count("<table") == 2
    assert section.count('<ul class="moved plain">') == 2
    assert section.count('scope="row"') == 2 * len(MOVED)
    assert "4.04 <small>4–4.08</small>" in section
    assert "swat moved the weights outside Mods_Rob 10% more (4.44 against 4.04, " in section
    obedience = scenes(result)[1]
    task = percent(next(a for a in obedience.arms if a.defense == "none").mean("fa"))
    assert f'<td role="cell" data-label="Task accuracy">{task}</td>' in section


def test_a_page_without_it_says_nothing_of_it():
    assert 'id="movement"' not in render(RunResult.of("tune", [Arm(defense="swat")]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_not_finite_is_not_measured(value):
    given = Arm(defense="none", runs=[SeedRun(seed=0, movement=Movement(outside=value))])
    assert movement_rows([given])[0].outside is None
    assert movements([given, arm("swat", 1.0)]) == []
