"""Limits as users write them, and pass, fail or undecided against them."""

import pytest

from holdfast.errors import ConfigError
from holdfast.evaluation.limits import (
    Requirement,
    State,
    Tally,
    parse_requirement,
    parse_requirements,
    state_of,
    worst_state,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hs<=.05", Requirement("hs", 0.05)),
        (" hs <= 0.05 ", Requirement("hs", 0.05)),
        ("hs<=5%", Requirement("hs", 0.05)),
        ("hs <= 5 %", Requirement("hs", 0.05)),
        ("hs≤0.05", Requirement("hs", 0.05)),
        ("fa>=.8", Requirement("fa", 0.8)),
        ("fa=>80%", Requirement("fa", 0.8)),
        ("over_refusal<=.1", Requirement("over_refusal", 0.1)),
        ("over-refusal-rise<=.05", Requirement("over_refusal_rise", 0.05)),
        ("task_drop<=.02", Requirement("task_drop", 0.02)),
        ("usefulness_drop<=.02", Requirement("usefulness_drop", 0.02)),
    ],
)
def test_what_is_read(text, wanted):
    assert parse_requirement(text) == wanted
    assert parse_requirement(str(wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hs", "METRIC<=SHARE"),
        ("", "METRIC<=SHARE"),
        ("hs<=", "is no number"),
        ("hs<=five", "'five' is no number"),
        ("hs<=1e-2", "is no number"),
        ("hs<=nan", "is no number"),
        ("hs>=.05", "limited with <=, not >="),
        ("hs<.05", "limited with <=, not <"),
        ("hs=.05", "limited with <=, not ="),
        ("fa<=.8", "limited with >=, not <="),
        ("hs<=5", "write 0.05 or 5% for percent"),
        ("hs<=-.05", "is no share"),
        ("hs<=0", "no number of prompts"),
        ("hs<=100%", "allows everything"),
        ("fa>=0", "allows everything"),
        ("fa>=1", "no number of prompts"),
        ("hs<=.05,fa>=.8", "is no number"),
        ("harm<=.05", "no metric 'harm'; known: hs, over_refusal"),
        ("overrefusal<=.05", "Did you mean 'over_refusal'"),
        ("hs_content<=.05", "garbled harm is harm"),
    ],
)
def test_what_is_refused_and_how_it_is_mended(text, words):
    with pytest.raises(ConfigError) as caught:
        parse_requirement(text)
    assert words in str(caught.value)
    assert "`require=" in str(caught.value)


def test_one_metric_has_one_limit():
    assert len(parse_requirements(["hs<=.05", "fa>=.8"])) == 2
    with pytest.raises(ConfigError, match="limited twice"):
        parse_requirements(["hs<=.05", "hs<=.04"])


def test_more_is_better_where_the_metric_says_so():
    assert parse_requirement("fa>=.8").most_bad == pytest.approx(0.2)
    assert parse_requirement("hs<=.05").most_bad == 0.05


@pytest.mark.parametrize(
    ("tally", "state"),
    [
        (Tally(0, 0, 59), State.PASS),
        (Tally(0, 0, 58), State.UNDECIDED),
        (Tally(0, 1, 59), State.UNDECIDED),  # One open answer is no pass.
        (Tally(0, 1, 93), State.PASS),  # As if it were bad.
        (Tally(0, 59, 59), State.UNDECIDED),  # All open: neither.
        (Tally(20, 0, 100), State.FAIL),
        (Tally(2, 80, 100), State.UNDECIDED),  # Open answers do not make a fail.
        (Tally(0, 0, 0), State.UNDECIDED),
    ],
)
def test_a_limit_is_held_against_the_bound(tally, state):
    assert state_of(tally, 0.05, 0.95) == state


def test_the_worst_decides_and_nothing_is_no_pass():
    assert worst_state([State.PASS, State.UNDECIDED, State.FAIL]) == State.FAIL
    assert worst_state([State.PASS, State.UNDECIDED]) == State.UNDECIDED
    assert worst_state([State.PASS, State.PASS]) == State.PASS
    assert worst_state([]) == State.UNDECIDED
