"""Intervals and tests against known values."""

import math

import numpy as np
import pytest

from holdfast.errors import InputError
from holdfast.evaluation.statistics import (
    mcnemar,
    paired_contrast,
    paired_difference,
    share_over_seeds,
    student,
    wilson,
)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # Newcombe 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(count, n, low, high):
    interval = wilson(count, n)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(("count", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_what_is_no_share(count, n):
    with pytest.raises(InputError, match=f"{count} in {n}"):
        wilson(count, n)


def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs():
    # 10 pairs only ours, 2 only theirs: 2 * sum_{k<=2} C(12, k) / 2^12.
    ours = [True] * 10 + [False] * 2 + [True] * 5
    theirs = [False] * 10 + [True] * 2 + [True] * 5
    assert mcnemar(ours, theirs) == pytest.approx(2 * (1 + 12 + 66) / 4096)


def test_mcnemar_without_discordant_pairs_is_one():
    assert mcnemar([True, False], [True, False]) == 1.0


def test_mcnemar_needs_pairs():
    with pytest.raises(InputError, match="1 and 2"):
        mcnemar([True], [True, False])


def test_one_seed_has_wilsons_interval():
    found = share_over_seeds([[True] * 3 + [False] * 17])
    assert (found.low, found.high) == pytest.approx((wilson(3, 20).low, wilson(3, 20).high))
    assert (found.value, found.prompts, found.seeds) == (0.15, 20, 1)


@pytest.mark.parametrize(
    "shares", [[[0.5, 0.5], [0.5, 0.5]], [[0.3], [0.3]], [[0.25], [0.25 + 1e-9]]]
)
def test_shares_of_answers_that_are_alike_under_every_seed_still_have_a_width(shares):
    """Nothing shows a spread; it is as if there were one run."""
    found, one = share_over_seeds(shares), share_over_seeds(shares[:1])
    assert (found.low, found.high) == pytest.approx((one.low, one.high), abs=1e-6)


@pytest.mark.parametrize("seeds", [1, 2])
def test_shares_that_differ_alike_up_to_rounding_still_have_a_width(seeds):
    """0.3 - 0.2 is not 0.1 to the last digit."""
    found = paired_difference([[0.3, 0.1]] * seeds, [[0.2, 0.0]] * seeds)
    assert found.value == pytest.approx(0.1)
    assert found.low < 0
    assert found.high > 0.2


def test_a_share_of_zero_under_every_seed_still_has_a_width():
    found = share_over_seeds([[False] * 20] * 3)
    assert found.low == 0.0
    assert found.high == pytest.approx(wilson(0, 20).high)


def test_bootstrap_covers_the_known_error_of_independent_answers():
    generator = np.random.default_rng(3)
    hits = generator.random((20, 200)) < 0.5
    found = share_over_seeds(hits.tolist())
    # Four thousand independent answers: 1.96 * sqrt(.25 / 4000) each side; the two-way bootstrap
    # is known to be conservative there, by at most sqrt(3).
    half = (found.high - found.low) / 2
    exact = 1.96 * math.sqrt(0.25 / 4000)
    assert exact < half < 2 * exact


def test_seeds_that_disagree_widen_the_interval_more_than_their_answers_would():
    agreeing = share_over_seeds([[True] * 50 + [False] * 50] * 4)
    disagreeing = share_over_seeds([[True] * 100, [False] * 100] * 2)
    assert agreeing.value == disagreeing.value == 0.5
    assert disagreeing.high - disagreeing.low > 2 * (agreeing.high - agreeing.low)


def test_the_same_answers_give_the_same_interval():
    hits = [[True, False, True, True], [False, False, True, True]]
    assert share_over_seeds(hits) == share_over_seeds(hits)
    assert share_over_seeds(hits) != share_over_seeds(hits * 3)


def test_pairing_makes_a_difference_narrower_than_two_separate_shares():
    generator = np.random.default_rng(0)
    theirs = generator.random((3, 100)) < 0.5
    ours = theirs.copy()
    ours[:, :10] = False
    found = paired_difference(ours.tolist(), theirs.tolist())
    alone = share_over_seeds(theirs.tolist())
    assert found.value == pytest.approx(ours.mean() - theirs.mean())
    assert found.low < found.value < found.high < 0
    assert found.high - found.low < alone.high - alone.low
    assert len(found.p_values) == 3


def test_a_constant_difference_still_has_a_width():
    found = paired_difference([[False] * 30] * 2, [[True] * 30] * 2)
    assert found.value == -1.0
    assert found.low == -1.0
    assert -0.9 < found.high < -0.7


def test_a_contrast_is_ours_less_a_part_of_theirs_as_sure_as_its_answers():
    generator = np.random.default_rng(1)
    ours, theirs = generator.random((2, 5, 60)) < np.array([0.2, 0.9])[:, None, None]
    found = paired_contrast(ours.tolist(), theirs.tolist(), 1 / 3)
    assert found.value == pytest.approx(ours.mean() - theirs.mean() / 3)
    assert found.low < found.value < found.high
    whole, whole_again = paired_contrast(ours, theirs), paired_difference(ours, theirs)
    assert (whole.low, whole.high) == (whole_again.low, whole_again.high)
    constant = paired_contrast([[False] * 30] * 2, [[True] * 30] * 2, 1 / 3)
    assert constant.value == pytest.approx(-1 / 3)
    # Wilson's ends of 0 and 1 in 30 are 0.114 from them: ours whole, theirs by a third.
    assert constant.high == pytest.approx(-1 / 3 + np.hypot(0.1135, 0.1135 / 3), abs=1e-3)


def test_a_paired_difference_needs_the_same_shape():
    with pytest.raises(InputError, match="same seeds and prompts"):
        paired_difference([[True, False]], [[True, False]] * 2)


@pytest.mark.parametrize("hits", [[], [[]], [[True], [True, False]]])
def test_shares_need_the_same_prompts_under_every_seed(hits):
    with pytest.raises(InputError, match="same prompts"):
        share_over_seeds(hits)


def test_students_interval_is_the_textbooks():
    # Values 1, 2, 4: mean 7/3, s = 1.527525, t(2) at 97.5 % = 4.302653.
    found = student([1.0, 2.0, 4.0])
    half = 4.302653 * 1.527525 / 3**0.5
    assert (found.low, found.value, found.high) == pytest.approx(
        (7 / 3 - half, 7 / 3, 7 / 3 + half)
    )
