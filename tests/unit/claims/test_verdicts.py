"""Verdict rules: each on tables whose answer is known."""

import re

import numpy as np
import pytest

from holdfast.claims import verdicts
from holdfast.claims.verdicts import Finding, combined
from holdfast.evaluation.interval import Interval

SEEDS, PROMPTS = 5, 100


def table(*shares: float, prompts: int = PROMPTS, shift: int = 0) -> list[list[bool]]:
    """``[seeds][prompts]`` with exactly these shares; which prompts count shifts by seed."""
    rows = []
    for number, share in enumerate(shares):
        row = [i < round(share * prompts) for i in range(prompts)]
        cut = shift * number % prompts
        rows.append(row[cut:] + row[:cut])
    return rows


def flat(share: float) -> list[list[bool]]:
    return table(*[share] * SEEDS, shift=7)


NOISY = table(0.9, 0.1, 0.8, 0.2, 0.6)


def test_a_clear_difference_holds_and_its_statistic_is_ours_minus_theirs():
    found = verdicts.difference(flat(0.1), flat(0.9), "below", 0.1)
    assert found.verdict == "holds"
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(-0.8)
    assert found.statistic.high < 0
    assert found.seeds == SEEDS


def test_the_wrong_direction_does_not_hold():
    found = verdicts.difference(flat(0.9), flat(0.1), "below", 0.1)
    assert found.verdict == "does not hold"
    assert "excludes 0" in found.why
    assert verdicts.difference(flat(0.9), flat(0.1), "above", 0.1).verdict == "holds"


def test_the_right_sign_with_an_interval_over_zero_holds_in_part():
    found = verdicts.difference(NOISY, table(0.95, 0.3, 0.7, 0.6, 0.5), "below", 0.05)
    assert found.statistic is not None
    assert found.statistic.low < 0 < found.statistic.high
    assert found.statistic.value < 0
    assert found.verdict == "holds in part"


def test_a_difference_within_the_smallest_effect_does_not_hold():
    found = verdicts.difference(flat(0.49), flat(0.5), "below", 0.2)
    assert found.verdict == "does not hold"
    assert "within" in found.why


def test_a_difference_under_the_smallest_effect_but_not_within_it_holds_in_part():
    verdict, why = verdicts.of_effect(Interval(0.08, 0.01, 0.15), 0.1)
    assert verdict == "holds in part"
    assert "under the smallest effect of 10 points" in why


def test_fewer_than_five_seeds_are_not_comparable():
    few = table(0.1, 0.1, 0.1, 0.1), table(0.9, 0.9, 0.9, 0.9)
    for found in (
        verdicts.difference(*few, "below", 0.1),
        verdicts.equivalence(*few, 0.1),
        verdicts.not_worse(*few, 0.1, lower_is_better=True),
        verdicts.bound(few[0], "at_most", 0.5),
        verdicts.trend(few, "rises", 0.1),
        verdicts.uneven([[1.0, 2.0]] * 4, 0.1),
        verdicts.apart([[1.0, 2.0]] * 4, [[1.0, 2.0]] * 9, 0.1),
        verdicts.at_equal_accuracy(0.5, ([few[0]], [few[0]]), ([few[0]], [few[0]]), 0.1),
    ):
        assert found.verdict == "not comparable"
        assert "fewer than 5" in found.why


def test_a_trend_holds_with_plateaus_and_holds_in_part_with_a_step_back():
    plateau = [flat(0.05), flat(0.05), flat(0.5), flat(1.0), flat(1.0)]
    assert verdicts.trend(plateau, "rises", 0.2).verdict == "holds"
    back = [flat(0.05), flat(0.9), flat(0.4), flat(1.0)]
    found = verdicts.trend(back, "rises", 0.2)
    assert found.verdict == "holds in part"
    assert "step 2" in found.why
    assert verdicts.trend(plateau[::-1], "rises", 0.2).verdict == "does not hold"
    assert verdicts.trend(plateau[::-1], "falls", 0.2).verdict == "holds"


def test_a_step_back_that_noise_explains_does_not_count_against_a_trend():
    levels = [flat(0.05), NOISY, table(0.8, 0.2, 0.7, 0.2, 0.55), flat(1.0)]
    assert verdicts.trend(levels, "rises", 0.2).verdict == "holds"


def test_equivalence_needs_its_interval_within_the_margin():
    assert verdicts.equivalence(flat(0.5), flat(0.51), 0.1).verdict == "holds"
    assert verdicts.equivalence(flat(0.5), flat(0.7), 0.1).verdict == "does not hold"
    unsure = verdicts.equivalence(NOISY, table(0.5, 0.5, 0.5, 0.5, 0.5), 0.1)
    assert unsure.statistic is not None
    assert abs(unsure.statistic.value) <= 0.1
    assert unsure.verdict == "holds in part"


@pytest.mark.parametrize(
    ("worse", "verdict", "why"),
    [
        (Interval(0.0, -0.01, 0.03), "holds", "whole interval is at most 3 points worse"),
        (Interval(-0.2, -0.4, -0.1), "holds", "whole interval"),
        (Interval(-0.15, -0.53, 0.22), "holds in part", "undecided: .* reaches 22.0 points worse"),
        (Interval(0.03, 0.0, 0.06), "holds in part", "undecided"),
        (Interval(0.04, -0.01, 0.08), "does not hold", "the mean is more than 3 points worse"),
        (Interval(0.92, 0.72, 1.0), "does not hold", "whole interval is more than 3 points worse"),
    ],
)
def test_a_margin_is_held_by_the_whole_interval(worse: Interval, verdict: str, why: str):
    """Fault F6: ``not_worse`` held at the mean, with an interval far past the margin."""
    found = verdicts.of_margin(worse, 0.03)
    assert found[0] == verdict
    assert re.search(why, found[1])


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_not_worse_reads_the_worse_end_of_either_side(lower_is_better: bool):
    """Fault F6: seeds that differ much were told to be not worse."""
    other = table(0.85, 0.15, 0.8, 0.2, 0.6)
    sides = (NOISY, other) if lower_is_better else (other, NOISY)
    unsure = verdicts.not_worse(*sides, 0.03, lower_is_better=lower_is_better)
    assert unsure.statistic is not None
    assert unsure.verdict == "holds in part"
    better, worse = (flat(0.1), flat(0.9)) if lower_is_better else (flat(0.9), flat(0.1))
    kept = verdicts.not_worse(better, worse, 0.0, lower_is_better=lower_is_better)
    assert kept.verdict == "holds"
    lost = verdicts.not_worse(worse, better, 0.03, lower_is_better=lower_is_better)
    assert lost.verdict == "does not hold"


@pytest.mark.parametrize(("prompts", "verdict"), [(100, "holds in part"), (200, "holds")])
def test_answers_alike_hold_a_margin_only_if_there_are_enough(prompts: int, verdict: str):
    """Fault F6: 100 questions, which leave 4 points open, were told to hold 3."""
    alike = table(*[1.0] * SEEDS, prompts=prompts)
    assert verdicts.not_worse(alike, alike, 0.03, lower_is_better=False).verdict == verdict


def test_a_bound_holds_only_with_its_whole_interval():
    assert verdicts.bound(flat(0.9), "at_least", 0.5).verdict == "holds"
    assert verdicts.bound(flat(0.1), "at_least", 0.5).verdict == "does not hold"
    assert verdicts.bound(flat(0.1), "at_most", 0.5).verdict == "holds"
    assert verdicts.bound(NOISY, "at_least", 0.5).verdict == "holds in part"


def test_equal_accuracy_reads_both_frontiers_and_extrapolates_neither():
    ours = ([flat(1.0), flat(0.8)], [flat(0.9), flat(0.0)])
    theirs = ([flat(1.0), flat(0.8)], [flat(0.9), flat(0.85)])
    found = verdicts.at_equal_accuracy(0.9, ours, theirs, 0.1)
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(0.45 - 0.875)
    assert found.verdict == "holds"
    outside = verdicts.at_equal_accuracy(0.5, ours, theirs, 0.1)
    assert outside.verdict == "not comparable"
    assert "reaches a task score of 50 %" in outside.why


def test_layers_that_differ_by_noise_alone_are_rarely_called_uneven():
    rng = np.random.default_rng(0)
    draws = rng.normal(10, 1, size=(400, SEEDS, 4))
    called = sum(verdicts.uneven(draw.tolist(), 0.0).verdict == "holds" for draw in draws)
    assert called / len(draws) <= 0.05  # At most 2.5 % is nominal.


def test_a_layer_that_stands_out_is_called_uneven_by_how_far_it_does():
    rng = np.random.default_rng(1)
    draws = rng.normal([10, 10, 10, 18], 0.5, size=(SEEDS, 4))
    found = verdicts.uneven(draws.tolist(), 0.1)
    assert found.verdict == "holds"
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(0.5, abs=0.05)


def test_models_with_the_same_profile_are_rarely_called_apart():
    rng = np.random.default_rng(2)
    draws = rng.normal(10, 1, size=(200, 2, SEEDS, 4))
    called = sum(verdicts.apart(a.tolist(), b.tolist(), 0.0).verdict == "holds" for a, b in draws)
    assert called / len(draws) <= 0.07


def test_models_with_other_profiles_are_apart_whatever_their_scale():
    rng = np.random.default_rng(3)
    ours = rng.normal([10, 10, 10, 30], 0.5, size=(SEEDS, 4))
    theirs = rng.normal([30, 10, 10, 10], 0.5, size=(SEEDS, 4))
    assert verdicts.apart(ours.tolist(), theirs.tolist(), 0.02).verdict == "holds"
    scaled = verdicts.apart(ours.tolist(), (ours * 7).tolist(), 0.05)
    assert scaled.verdict == "does not hold"
    assert verdicts.apart(ours.tolist(), ours[:, :3].tolist(), 0.02).verdict == "not comparable"


def said(*told: str) -> list[Finding]:
    return [Finding(verdict, "") for verdict in told]


@pytest.mark.parametrize(
    ("tests", "provided", "verdict"),
    [
        (["holds", "holds"], [], "holds"),
        (["holds", "does not hold"], [], "holds in part"),
        (["does not hold", "does not hold"], [], "does not hold"),
        (["does not hold"], ["holds"], "does not hold"),
        (["holds in part", "does not hold"], [], "holds in part"),
        (["holds"], ["does not hold"], "holds in part"),
        (["holds", "not comparable"], [], "holds in part"),
        (["does not hold", "not comparable"], [], "does not hold"),
        (["not comparable"], ["holds"], "not comparable"),
        (["holds"], ["not comparable"], "not comparable"),
    ],
)
def test_tests_and_conditions_combine_into_one_verdict(
    tests: list[str], provided: list[str], verdict: str
):
    assert combined(said(*tests), said(*provided)) == verdict
