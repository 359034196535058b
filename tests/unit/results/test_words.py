"""One formatter for every figure with an interval, and names as a reader wants them."""

import pytest

from holdfast.evaluation.interval import Difference, Interval
from holdfast.results.words import DASH, LOOKS, shown

FOUND = Interval(-0.126, -0.5, 0.034)


TOLD = {
    "ends": "−50–3.4",
    "bracketed": "[−50–3.4]",
    "share": "−0.13 (−0.50–0.03)",
    "difference": "−0.13 [−0.50, +0.03]",
    "points": "−13 points [−50, +3]",
    "tenths": "−12.6 [−50, +3]",
    "percent": "−13 % [−50, 3.4]",
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_has_value_low_and_high_in_their_places(look):
    assert shown(FOUND, look) == TOLD[look]


def test_a_dash_stands_for_what_was_not_measured():
    assert {shown(None, look) for look in LOOKS} == {DASH}


def test_what_a_figure_carries_besides_is_not_told():
    assert shown(Difference(0.5, 0.25, 0.75, (0.1,)), "points") == "+50 points [+25, +75]"


def test_the_other_sign_turns_the_ends_around():
    assert Interval(0.126, -0.034, 0.5) == -FOUND
    assert Difference(-0.126, -0.5, 0.034, (1.0,)).bare == FOUND


def test_a_share_that_is_not_none_or_all_never_reads_as_it():
    assert shown(Interval(0.004, 0.0, 0.996), "percent") == "0.4 % [0, 99.6]"
    assert shown(Interval(1.0, 0.9996, 1.0), "percent") == "100 % [>99.9, 100]"


def test_the_end_of_a_difference_reads_as_0_only_where_it_is():
    """Beside "k of n intervals without 0", +0.3 points read as +0."""
    assert shown(Interval(0.016, 0.003, 0.034), "tenths") == "+1.6 [+0.3, +3]"
    assert shown(Interval(-0.016, -0.034, -0.0004), "tenths") == "−1.6 [−3, −0.04]"
    assert shown(Interval(0.0, 0.0, 0.0), "tenths") == "+0.0 [+0, +0]"


@pytest.mark.parametrize(("look", "text"), [("ends", "0–5.4"), ("percent", "4.6 % [0, 5.4]")])
def test_an_end_just_beyond_a_limit_does_not_read_as_at_it(look, text):
    """Beside a limit of 5 % an upper end of 5.4 % read as 5; a figure of 4.6 % as 5 on a card."""
    assert shown(Interval(0.046, 0.0, 0.054), look) == text
