"""Harmful score at equal accuracy on worked examples."""

import numpy as np
import pytest

from holdfast.errors import InputError
from holdfast.evaluation.settings.equal_accuracy import (
    equal_accuracy_difference,
    harmful_score_at,
    interpolate,
)
from tests.unit.evaluation.setting_hits import hits, noisy


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


@pytest.mark.slow
def test_the_interval_at_equal_accuracy_covers_at_five_seeds_that_differ():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(40):
        fa = noisy(generator, [0.9, 0.6], spread=0.02).tolist()
        hs = noisy(generator, [0.7, 0.3], spread=0.1).tolist()
        found = harmful_score_at(0.75, fa, hs)
        covered += found is not None and found.low <= 0.5 <= found.high
    assert covered >= 36


def test_equal_accuracy_needs_the_same_prompts_on_both_sides():
    ours = hits(0.9, 0.7), hits(0.8, 0.2)
    with pytest.raises(InputError, match="same seeds and prompts on both sides"):
        equal_accuracy_difference(0.8, ours, (hits(0.9, 0.7, seeds=3), hits(0.8, 0.2, seeds=3)))
