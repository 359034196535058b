"""Where a task budget held a repair back: both choices on a run's own frontier."""

import pytest

from holdfast.artifact import Curve
from holdfast.comparisons.held_back import held_back
from holdfast.report.answers import warnings_of
from holdfast.results.records import Arm, Diagnostics, SeedRun
from holdfast.results.result import RunResult

SCALES = (0.0, 0.5, 1.0)


def run_of(seed, harm, task, marked, rho=0.5, scales=SCALES):
    series = {"harmful score": tuple(harm), "task score": tuple(task)}
    curve = Curve("frontier", "scale", scales, series, marked=marked)
    found = Diagnostics(blocks={"frontier": curve}, values={"rho": rho})
    return SeedRun(seed=seed, diagnostics={"panacea": found})


def arm_of(*runs):
    return Arm.of("panacea", list(runs), scenario="harmful_mix", p=0.3)


BOUND = ((1.0, 0.7, 0.1), (1.0, 0.99, 0.9))


def test_the_frontiers_own_choice_stands_beside_the_chosen_one():
    """Fault F10: a harmful score of 100 % was told without the choice that the budget ruled out."""
    arm = arm_of(run_of(0, *BOUND, 0.5), run_of(1, (1.0, 0.5, 0.3), (1.0, 1.0, 0.8), 0.5))
    [found] = held_back(arm)
    assert (found.bound, found.runs) == (2, 2)
    assert (found.chosen.strength, found.free.strength) == (0.25, 0.5)
    assert found.chosen.harm == pytest.approx(0.6)
    assert found.free.harm == pytest.approx(0.2)
    assert found.free.task == pytest.approx(0.85)
    [told] = [line for line in warnings_of(RunResult.of("bench", [arm])) if "budget" in line]
    assert "held it back in 2 of 2 runs: it chose ρ 0.25 (harmful score 60%" in told
    assert "its frontier would choose ρ 0.5 (harmful score 20%, task 85%)" in told


@pytest.mark.parametrize("run", [
    run_of(0, *BOUND, 1.0),  # Nothing was ruled out.
    run_of(0, (1.0, 1.0, 1.0), (1.0, 0.99, 0.9), 0.5),  # No strength helps.
    run_of(0, (0.5, 0.12, 0.1), (1.0, 0.99, 0.9), 0.5),  # It helps by next to nothing.
    run_of(0, (0.5, 0.1, 0.9), (1.0, 0.99, 0.9), 0.5),  # More of it does harm.
    run_of(0, *BOUND, None),
    SeedRun(seed=0),
])  # fmt: skip
def test_a_budget_that_cost_nothing_is_not_told(run):
    """Fault F10: told where it does not matter, the frontier's choice would be noise."""
    assert held_back(arm_of(run)) == []


def test_the_weakest_of_equal_choices_is_the_frontiers():
    """Fault F10: of strengths that do the same the strongest costs the most."""
    scales = (0.0, 0.25, 0.5, 1.0)
    [found] = held_back(arm_of(run_of(0, (1, 0.9, 0, 0), (1, 1, 0.9, 0.5), 0.25, scales=scales)))
    assert found.free.strength == 0.25
    assert found.free.task == 0.9
