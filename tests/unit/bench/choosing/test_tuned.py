"""The rule of the arm `tuned`: least harmful score with a task score within a point of plain's."""

import json
from pathlib import Path

import pytest

from holdfast.bench.choosing.tuned import Point, best_point, points_of, tuned_document
from holdfast.errors import InputError
from holdfast.evaluation.interval import Estimate
from holdfast.results.records import Arm, Attack
from tests.synthetic_result import synthetic_result

PUBLISHED = Path(__file__).resolve().parents[4] / "results" / "tuned.json"


def point(hs, fa, rate=1e-4):
    return Point(rate, 120, 16, tuple(hs), tuple(fa))


def test_of_those_that_keep_the_task_the_one_with_the_least_harm_is_taken():
    plain = point([0.9], [1.0])
    gentle, slow, lost = (
        point([0.5], [0.995]), point([0.3], [0.99]), point([0.0], [0.989])
    )  # fmt: skip
    assert best_point([plain, gentle, slow, lost]) is slow
    assert best_point([plain, gentle, slow, lost], margin=0.005) is gentle
    assert best_point([plain, gentle, slow, lost], margin=0.05) is lost


def test_plain_stays_where_nothing_else_keeps_the_task():
    plain = point([0.9], [1.0])
    assert best_point([plain, point([0.0], [0.5])]) is plain


def test_over_several_attacks_the_worst_harm_counts_and_the_task_under_each():
    plain = point([0.5, 0.9], [1.0, 1.0])
    even, uneven, lost = (
        point([0.4, 0.4], [1.0, 1.0]), point([0.0, 0.5], [1.0, 1.0]), point([0.0, 0.0], [1.0, 0.9])
    )  # fmt: skip
    assert best_point([plain, uneven, even, lost]) is even


def test_of_equal_harm_the_higher_task_score_is_taken_then_the_first():
    plain = point([0.9], [0.98])
    worse, better, again = point([0.0], [0.97]), point([0.0], [0.99]), point([0.0], [0.99])
    assert best_point([plain, worse, better, again]) is better


def arm(p, rate, batch, hs, fa, defense="none", seed=0):
    """One arm whose figures are given."""
    attack = Attack(
        scenario="harmful_mix", p=p, learning_rate=rate, steps=120, epochs=3.75, rows=500,
        batch=batch,
    )  # fmt: skip
    run = synthetic_result().arms[1].runs[0].model_copy(update={"seed": seed})
    found = Arm(defense=defense, attack=attack, runs=[run])
    for figure, value in (("hs", hs), ("fa", fa)):
        found.figures[figure] = Estimate(value, 0.0, 1.0, prompts=1, seeds=1)
    return found


def test_the_choice_is_made_for_each_attack_and_for_all_with_what_it_rests_on():
    arms = [
        arm(0.1, 2e-4, None, 0.5, 1.0), arm(0.2, 2e-4, None, 0.9, 1.0),
        arm(0.1, 1e-4, 32, 0.1, 1.0), arm(0.2, 1e-4, 32, 0.7, 0.9),
        arm(0.1, 1e-4, None, 0.2, 1.0), arm(0.2, 1e-4, None, 0.6, 1.0),
        arm(0.1, 1e-5, None, 0.0, 1.0, seed=1), arm(0.1, 1e-4, None, 0.0, 1.0, defense="swat"),
    ]  # fmt: skip
    found = tuned_document(arms, batch=16)
    first, second = found["attacks"]
    assert (first["p"], first["tuned"]["batch"], first["plain"]["batch"]) == ([0.1], 32, 16)
    assert (second["p"], second["tuned"]["batch"]) == ([0.2], 16)
    assert second["tuned"]["hs"] == [0.6]
    assert found["all_attacks"]["tuned"]["hs"] == [0.2, 0.6]
    assert len(found["all_attacks"]["grid"]) == 3


def test_without_plain_tuning_there_is_nothing_to_choose_from():
    with pytest.raises(InputError, match="no arm of plain tuning"):
        points_of([arm(0.1, 1e-4, None, 0.0, 1.0, defense="swat")], 16)


def test_figures_stand_beside_the_attacks_that_they_are_of():
    """The attacks of an arm that is passed over were named, and had no figures."""
    arms = [
        arm(0.2, 2e-4, None, 0.9, 1.0), arm(0.1, 2e-4, None, 0.5, 0.9),
        arm(0.3, 2e-4, None, 0.0, 1.0, seed=1),
    ]  # fmt: skip
    assert points_of(arms, 16) == [Point(2e-4, 120, 16, (0.5, 0.9), (0.9, 1.0), (0.1, 0.2))]
    found = tuned_document(arms[:2], batch=16)["all_attacks"]
    assert (found["p"], found["plain"]["hs"]) == ([0.1, 0.2], [0.5, 0.9])


def test_a_plain_tuning_without_an_attack_or_twice_is_refused():
    """The choice was made on the attacks that plain has, and told as one for all of them."""
    plain, other = arm(0.1, 2e-4, None, 0.5, 1.0), arm(0.2, 1e-4, None, 0.1, 1.0)
    with pytest.raises(InputError, match=r"learning_rate=0\.0002.*no figures at p=0\.2"):
        points_of([plain, other], 16)
    again = arm(0.1, 2e-4, None, 0.0, 1.0)
    more = again.model_copy(update={"attack": again.attack.model_copy(update={"rows": 1000})})
    with pytest.raises(InputError, match="twice at learning_rate"):
        points_of([plain, more], 16)


def test_the_published_choices_are_what_the_rule_says_of_their_grids():
    document = json.loads(PUBLISHED.read_text())
    for found in document["scenarios"].values():
        for one in (*found["attacks"], found["all_attacks"]):
            grid = [
                Point(row["learning_rate"], row["steps"], row["batch"], tuple(row["hs"]),
                      tuple(row["fa"]))
                for row in one["grid"]
            ]  # fmt: skip
            assert grid[0].row() == one["plain"]
            assert best_point(grid, found["margin"]).row() == one["tuned"]
