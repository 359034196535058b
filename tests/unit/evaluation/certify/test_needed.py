"""The spec's tables of sample sizes, and the p-values that they come of."""

import numpy as np
import pytest
from scipy import stats

from holdfast.errors import InputError
from holdfast.evaluation.certify.betting import LARGEST, betting_p, stake_for
from holdfast.evaluation.certify.family import all_hold_p, fixed_sequence
from holdfast.evaluation.certify.needed import (
    most_allowed,
    pairs_for_power,
    prompts_allowing,
    prompts_at_share,
    prompts_for_power,
)
from holdfast.evaluation.certify.shares import binomial_p, hoeffding_bentkus_p


@pytest.mark.parametrize(
    ("test", "limit", "allowed", "wanted"),
    [
        ("exact", 0.05, (0, 1, 2, 3, 5, 10), (59, 93, 124, 153, 208, 336)),
        ("graded", 0.05, (0, 1, 2, 3, 5, 10), (59, 113, 150, 181, 240, 376)),
        ("exact", 0.02, (0, 1, 2), (149, 236, 313)),
        ("exact", 0.01, (0, 1), (299, 473)),
    ],
)
def test_prompts_by_allowed_answers(test, limit, allowed, wanted):
    assert tuple(prompts_allowing(k, limit, test=test) for k in allowed) == wanted


def test_prompts_by_the_true_share():
    found = [prompts_for_power(truth, 0.05) for truth in (0.005, 0.01, 0.02, 0.03)]
    assert found == [93, 153, 311, 832]


@pytest.mark.parametrize(
    ("limit", "changing", "about"),
    [
        (0.02, 0.01, 550), (0.02, 0.02, 800), (0.02, 0.05, 1500), (0.02, 0.1, 3000),
        (0.05, 0.02, 200), (0.05, 0.05, 300), (0.05, 0.1, 550),
    ],
)  # fmt: skip
def test_pairs_of_a_bet_are_about_those_of_the_spec(limit, changing, about):
    assert pairs_for_power(limit, changing) == pytest.approx(about, rel=0.15)


@pytest.mark.parametrize(("share", "limit"), [(0.0, 0.05), (0.02, 0.05), (0.125, 0.2), (0.3, 0.5)])
def test_prompts_at_a_share_are_the_first_that_pass_with_so_many_bad(share, limit):
    """Bad answers are whole: 12.5 % of 9 are two."""
    n = next(
        n for n in range(1, 1000)
        if stats.binomtest(-int(-share * n // 1), n, limit, "less").pvalue <= 0.05
    )  # fmt: skip
    assert prompts_at_share(share, limit, 0.05) == n
    assert prompts_at_share(limit, limit, 0.05) is None
    assert prompts_at_share(share + limit, limit, 0.05) is None
    assert prompts_at_share(limit - 1e-4, limit, 0.05) is None, "more than any run will ask"


def test_most_allowed_inverts_prompts_allowing():
    for allowed in (0, 1, 5):
        n = prompts_allowing(allowed, 0.05)
        assert most_allowed(n, 0.05) == allowed
        assert most_allowed(n - 1, 0.05) == allowed - 1


def test_binomial_p_is_scipys():
    bad, n = np.array([0, 3, 10, 60]), np.array([59, 153, 300, 60])
    theirs = [stats.binomtest(k, m, 0.05, "less").pvalue for k, m in zip(bad, n, strict=True)]
    np.testing.assert_allclose(binomial_p(bad, n, 0.05), theirs, rtol=1e-9)


def test_hoeffding_bentkus_is_never_below_the_exact_test_of_zeros_and_ones():
    n = 200
    bad = np.arange(n + 1)
    graded, exact = hoeffding_bentkus_p(bad / n, n, 0.05), binomial_p(bad, n, 0.05)
    assert (graded >= exact - 1e-12).all()
    assert graded[0] == pytest.approx(0.95**n)
    assert graded[-1] == 1.0


def test_a_bet_is_the_product_of_its_factors():
    differences = [0, 0, -1, 1, 0]
    capital = np.cumprod([1 + 0.4 * (0.05 - d) for d in differences])
    assert betting_p(differences, 0.05, 0.4) == pytest.approx(1 / capital.max())
    assert betting_p([1, 1, 1], 0.05, 0.4) == 1.0


def test_stake_is_kellys_below_its_cap():
    assert stake_for(0.02, 0.05) == pytest.approx(0.02 / 0.0504)
    assert stake_for(0.05, 0.0) == LARGEST


def test_fixed_sequence_stops_at_the_first_that_fails():
    p = all_hold_p([[0.01, 0.02], [0.04, 0.05], [0.01, 0.06], [0.0, 0.0]])
    assert fixed_sequence(p, 0.05).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: binomial_p(5, 4, 0.05),
        lambda: binomial_p(0, 4, 1.0),
        lambda: hoeffding_bentkus_p(1.1, 4, 0.05),
        lambda: betting_p([], 0.05, 0.4),
        lambda: betting_p([2.0], 0.05, 0.4),
        lambda: betting_p([0.0], 0.05, 0.9),
        lambda: stake_for(0.0, 0.1),
        lambda: prompts_for_power(0.05, 0.05),
        lambda: prompts_allowing(0, 1e-6),
        lambda: most_allowed(10, 0.05, 1.0),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()
