"""Worst case, equal accuracy and Pareto fronts on worked examples."""

import numpy as np
import pytest

from holdfast.errors import InputError
from holdfast.evaluation.equal_accuracy import (
    equal_accuracy_difference,
    harmful_score_at,
    interpolate,
)
from holdfast.evaluation.fronts import on_front, pareto_front
from holdfast.evaluation.statistics import share_over_seeds
from holdfast.evaluation.worst_case import worst_case


def hits(*shares, seeds=5, prompts=100):
    """Return ``[settings][seeds][prompts]`` in which every run of a setting has its share."""
    return [[[i < round(s * prompts) for i in range(prompts)]] * seeds for s in shares]


def noisy(generator, shares, seeds=5, prompts=100, spread=0.0):
    """Return hits ``[settings, seeds, prompts]`` around ``shares``; runs differ by ``spread``."""
    level = np.asarray(shares)[:, None, None] + generator.normal(0, spread, (len(shares), seeds, 1))
    return generator.random((len(shares), seeds, prompts)) < level


def test_the_worst_case_is_the_largest_share_and_where_it_is():
    found = worst_case(hits(0.1, 0.6, 0.3))
    assert (found.value, found.setting) == (0.6, 1)
    assert found.low < 0.6 < found.high


def test_one_setting_has_the_interval_of_its_share():
    table = hits(0.3)
    found, alone = worst_case(table), share_over_seeds(table[0])
    assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)


def test_the_worst_cases_lower_end_pays_for_the_choice():
    alone, among = worst_case(hits(0.3)), worst_case(hits(0.3, *[0.0] * 9))
    assert among.low < alone.low
    assert among.high == alone.high


def test_the_worst_case_covers_the_true_maximum_of_equal_settings():
    # Ten settings alike: the largest share leans high, which an interval of it alone misses.
    generator = np.random.default_rng(0)
    tables = [noisy(generator, [0.3] * 10) for _ in range(60)]
    found = [worst_case(table.tolist()) for table in tables]
    assert np.mean([f.value for f in found]) > 0.31
    assert np.mean([f.low <= 0.3 <= f.high for f in found]) >= 0.95
    largest = [share_over_seeds(t[t.mean(axis=(1, 2)).argmax()].tolist()) for t in tables]
    assert np.mean([one.low <= 0.3 <= one.high for one in largest]) < 0.9


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [(0.9, 0.8), (0.8, 0.5), (0.6, 0.15), (0.5, 0.1), (0.95, None), (0.49, None)],
)
def test_interpolation_is_linear_between_neighbors_and_never_beyond(accuracy, expected):
    found = interpolate(np.array([0.9, 0.7, 0.5]), np.array([0.8, 0.2, 0.1]), accuracy)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_a_frontier_that_turns_back_gives_the_defenders_choice():
    # 0.75 lies between 0.9 and 0.7 (HS .65) and again between 0.7 and 0.8 (HS .3).
    fa, hs = np.array([0.9, 0.7, 0.8]), np.array([0.8, 0.6, 0.0])
    assert interpolate(fa, hs, 0.75) == pytest.approx(0.3)


def test_harmful_score_at_an_accuracy_has_the_frontiers_value_and_an_interval():
    found = harmful_score_at(0.8, hits(0.9, 0.7), hits(0.8, 0.2, prompts=50))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    # The runs agree, so only prompts speak. To first order the midpoint moves by the mean of both
    # HS and by 3 (the slope) times the mean of both FA: of values 1, .5 and 0.
    of_fa = (0.7 * 1 + 0.2 * 0.25 - 0.8**2) / 100
    of_hs = (0.2 * 1 + 0.6 * 0.25 - 0.5**2) / 50
    half = 1.98 * (9 * of_fa + of_hs) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.03)
    assert found.inside > 0.95


def test_an_accuracy_outside_the_frontier_is_not_extrapolated():
    fa, hs = hits(0.9, 0.7), hits(0.8, 0.2)
    assert harmful_score_at(0.95, fa, hs) is None
    assert equal_accuracy_difference(0.95, (fa, hs), (hits(0.99, 0.7), hs)) is None


def test_an_accuracy_at_the_frontiers_end_is_often_missed_by_resamples():
    found = harmful_score_at(0.9, hits(0.9, 0.7), hits(0.8, 0.2))
    assert found is not None
    assert 0.3 < found.inside < 0.8


def test_a_defense_that_only_trades_accuracy_does_not_win_at_equal_accuracy():
    # Theirs at its strengths looks worse (HS .8, .6) but lies on the same line as ours.
    ours = hits(0.8, 0.6), hits(0.6, 0.2)
    theirs = hits(0.9, 0.7), hits(0.8, 0.4)
    found = equal_accuracy_difference(0.75, ours, theirs)
    assert found is not None
    assert found.value == pytest.approx(0.0)
    assert found.low < 0 < found.high


def test_equal_accuracy_draws_the_same_prompts_for_both_sides():
    fa, hs = hits(0.9, 0.7), hits(0.8, 0.2)
    found = equal_accuracy_difference(0.8, (fa, hs), (fa, hs))
    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.0, 0.0, 0.0))


def test_a_better_frontier_wins_at_equal_accuracy():
    found = equal_accuracy_difference(
        0.8, (hits(0.9, 0.7), hits(0.4, 0.0)), (hits(0.9, 0.7), hits(0.9, 0.7))
    )
    assert found is not None
    assert found.value == pytest.approx(-0.6)
    assert found.high < 0


def test_the_interval_at_equal_accuracy_covers_at_five_seeds_that_differ():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(40):
        fa = noisy(generator, [0.9, 0.6], spread=0.02).tolist()
        hs = noisy(generator, [0.7, 0.3], spread=0.1).tolist()
        found = harmful_score_at(0.75, fa, hs)
        covered += found is not None and found.low <= 0.5 <= found.high
    assert covered >= 36


def test_the_front_is_what_nothing_dominates():
    fa = np.array([0.9, 0.8, 0.8, 0.6, 0.9])
    hs = np.array([0.5, 0.2, 0.3, 0.2, 0.5])
    # 2 loses to 1 by HS, 3 to 1 by FA; 0 and 4 coincide and both stay.
    assert on_front(fa, hs).tolist() == [True, True, False, False, True]


def test_the_front_reads_fa_as_good_and_hs_as_bad():
    found = pareto_front(hits(0.9, 0.2), hits(0.1, 0.8))
    assert [point.on_front for point in found] == [True, False]
    assert [point.stability for point in found] == [1.0, 0.0]


def test_points_that_noise_could_swap_are_on_the_front_in_some_resamples_only():
    generator = np.random.default_rng(6)
    fa = hits(0.8, 0.8, 0.5)
    hs = noisy(generator, [0.30, 0.31, 0.9]).tolist()
    found = pareto_front(fa, hs)
    assert sum(point.on_front for point in found) == 1
    assert all(0.02 < point.stability < 0.98 for point in found[:2])
    assert found[2].stability == 0.0


def test_settings_that_answer_alike_share_the_front_in_every_resample():
    found = pareto_front(hits(0.7, 0.7), hits(1 / 3, 1 / 3, prompts=99))
    assert [point.stability for point in found] == [1.0, 1.0]


def test_the_same_seed_gives_the_same_front():
    table = noisy(np.random.default_rng(1), [0.4, 0.5]).tolist()
    assert pareto_front(table, table, seed=2) == pareto_front(table, table, seed=2)


@pytest.mark.parametrize("table", [[], [[]], [[[]]], [[[True]], [[True], [False]]], [[[True]], []]])
def test_settings_need_the_same_seeds_and_prompts(table):
    with pytest.raises(InputError, match="same seeds and prompts"):
        worst_case(table)


def test_both_figures_need_the_same_settings():
    with pytest.raises(InputError, match="same settings"):
        pareto_front(hits(0.1, 0.2), hits(0.3))


def test_equal_accuracy_needs_the_same_prompts_on_both_sides():
    ours = hits(0.9, 0.7), hits(0.8, 0.2)
    with pytest.raises(InputError, match="same seeds and prompts on both sides"):
        equal_accuracy_difference(0.8, ours, (hits(0.9, 0.7, seeds=3), hits(0.8, 0.2, seeds=3)))
