"""Cohen's kappa against scikit-learn, and its interval over prompts."""

import numpy as np
import pytest

from holdfast.evaluation.kappa import cohen_kappa, kappa_over_prompts

RANDOM = np.random.default_rng(3)


def judged(n, noise):
    first = RANDOM.random(n) < 0.4
    flips = RANDOM.random(n) < noise
    return [(bool(a), bool(a ^ b)) for a, b in zip(first, flips, strict=True)]


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 1.0])
def test_it_is_scikit_learns(noise):
    metrics = pytest.importorskip("sklearn.metrics")
    pairs = judged(200, noise)
    assert cohen_kappa(pairs) == pytest.approx(metrics.cohen_kappa_score(*zip(*pairs, strict=True)))


def test_it_is_not_defined_where_all_is_alike_and_0_where_one_judge_says_one_thing():
    assert cohen_kappa([(True, True)] * 9) is None
    assert kappa_over_prompts([[(False, False)]] * 9) is None
    assert kappa_over_prompts([]) is None
    assert cohen_kappa([(True, True), (True, False)]) == 0


def test_the_interval_holds_the_value_and_is_wider_where_answers_hang_on_prompts():
    pairs = judged(100, 0.15)
    alone = kappa_over_prompts([[pair] for pair in pairs])
    repeated = kappa_over_prompts([[pair] * 5 for pair in pairs])
    as_if_new = kappa_over_prompts([[pair] for pair in pairs for _ in range(5)])
    assert alone.low < alone.value < alone.high
    assert repeated == alone, "five seeds that say the same add nothing"
    assert as_if_new.high - as_if_new.low < 0.6 * (alone.high - alone.low)


def test_full_agreement_is_1_with_both_ends():
    found = kappa_over_prompts([[pair] for pair in judged(50, 0.0)])
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Two judges of known kappa: yes at .5, alike at .8, so kappa .6."""
    covered = 0
    for _ in range(100):
        first = RANDOM.random(120) < 0.5
        second = np.where(RANDOM.random(120) < 0.2, ~first, first)
        found = kappa_over_prompts(
            [[(bool(a), bool(b))] for a, b in zip(first, second, strict=True)]
        )
        covered += found.low <= 0.6 <= found.high
    assert 88 <= covered <= 100
