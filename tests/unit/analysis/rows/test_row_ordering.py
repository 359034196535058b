"""Rank correlations of data sets: scipy's as the oracle, and intervals over sets."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from holdfast.analysis.rows.ordering import (
    auroc,
    difference,
    left_out,
    ordering,
    partial_spearman,
    spearman,
)
from holdfast.errors import DataError


def drawn(n=60, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    harm = rng.random(n).round(1)
    return (harm + noise * rng.normal(size=n)).tolist(), harm.tolist(), rng.normal(size=n).tolist()


def test_it_is_spearmans_with_ties():
    scores, harm, _ = drawn()
    assert spearman(scores, harm) == pytest.approx(spearmanr(scores, harm).statistic)
    assert spearman([1.0] * 60, harm) is None


def test_the_partial_one_takes_a_confounder_out():
    scores, harm, other = drawn()
    a, b, c = spearman(scores, harm), spearman(scores, other), spearman(harm, other)
    assert a is not None
    assert b is not None
    assert c is not None
    wanted = (a - b * c) / ((1 - b**2) * (1 - c**2)) ** 0.5  # The textbook's for one confounder.
    assert partial_spearman(scores, harm, [other]) == pytest.approx(wanted)
    assert partial_spearman(other, harm, [other]) is None


def test_the_area_is_scikit_learns_with_ties():
    scores, harm, _ = drawn()
    rounded = [round(score) for score in scores]
    for values in (scores, rounded, [-score for score in scores]):
        wanted = roc_auc_score([h > 0.2 for h in harm], values)
        assert auroc(values, [h > 0.2 for h in harm]) == pytest.approx(wanted)
        assert ordering(values, harm, line=0.2).auroc.value == pytest.approx(wanted)


def test_intervals_are_over_sets_and_hold_the_value():
    scores, harm, other = drawn(noise=0.2)
    found = ordering(scores, harm, [other])
    assert found.rho.low < found.rho.value < found.rho.high < 1
    assert found.auroc.value == auroc(scores, [h > 0.2 for h in harm])
    fewer = ordering(scores[:15], harm[:15])
    assert fewer.rho.high - fewer.rho.low > found.rho.high - found.rho.low
    better = difference(scores, other, harm)
    assert better.low > 0
    assert difference(other, other, harm).value == 0


def test_a_scenario_is_left_out():
    scores, harm, _ = drawn(20)
    names = ["a"] * 10 + ["b"] * 10
    assert left_out(scores, harm, names) == {
        "a": spearman(scores[10:], harm[10:]), "b": spearman(scores[:10], harm[:10]),
    }  # fmt: skip


def test_too_few_sets_are_refused():
    with pytest.raises(DataError, match="8 sets or more"):
        ordering([1.0] * 5, [0.5] * 5)
    assert auroc([1.0, 2.0], [True, True]) is None
