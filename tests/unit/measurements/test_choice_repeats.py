"""Claims on prompts set apart are wrong no more often than said; on the same prompts they are."""

import pytest

from measurements.choice_repeats import CASES, DELTA, REPEATS, wrong_claims

MOST = DELTA + 3 * (DELTA * (1 - DELTA) / REPEATS) ** 0.5


@pytest.mark.parametrize("name", list(CASES))
def test_claims_on_prompts_set_apart_are_wrong_as_rarely_as_said(name):
    assert wrong_claims(CASES[name], same_prompts=False) <= MOST


def test_the_repeats_would_show_a_test_that_spends_more():
    assert wrong_claims(CASES["harm on its limit"], same_prompts=False) > DELTA / 3


@pytest.mark.parametrize("name", ["harm on its limit", "task on its limit"])
def test_choosing_and_testing_on_the_same_prompts_claims_too_much(name):
    assert wrong_claims(CASES[name], same_prompts=True, repeats=500) > 3 * MOST
