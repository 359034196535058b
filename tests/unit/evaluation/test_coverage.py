"""Intervals cover what they say, on small seeded simulations of runs whose truth is known.

``benchmarks/statistics_check.py`` does the same at length; the tolerances here are those of the
number of simulations.
"""

import numpy as np
import pytest
from scipy import stats

from holdfast.evaluation.statistics import mcnemar, paired_difference, share_over_seeds, wilson

PROMPTS = 100


def simulate(generator, seeds, spread, difficulty=None, shift=0.0):
    """Return hits ``[seeds, prompts]``: logit p = shift + N(0, spread) per seed + difficulty."""
    difficulty = np.zeros(PROMPTS) if difficulty is None else difficulty
    logit = shift + generator.normal(0, spread, (seeds, 1)) + difficulty
    return generator.random((seeds, PROMPTS)) < 1 / (1 + np.exp(-logit))


@pytest.mark.parametrize(("count", "n"), [(0, 7), (3, 20), (55, 100), (100, 100)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_equals_its_formula_and_scipy(count, n, confidence):
    z, share = stats.norm.ppf((1 + confidence) / 2), count / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    reference = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    found = wilson(count, n, confidence)
    assert (found.low, found.high) == pytest.approx((center - half, center + half), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-12)


@pytest.mark.parametrize("n", [20, 100, 400])
def test_wilson_covers_within_a_point_on_average_over_shares(n):
    # Exact, not simulated; at one share it oscillates with n and p, as any such interval does.
    shares, counts = np.linspace(0.02, 0.98, 481), np.arange(n + 1)
    ends = [wilson(int(k), n) for k in counts]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    inside = (low <= shares[:, None]) & (shares[:, None] <= high)
    coverage = (stats.binom.pmf(counts, n, shares[:, None]) * inside).sum(axis=1)
    assert coverage.mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("seeds", "shortest"), [(3, 0.90), (5, 0.92), (10, 0.92)])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_share_covers_the_share_of_all_runs(seeds, shortest, spread):
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        difficulty = generator.normal(0, 1, PROMPTS)
        found = share_over_seeds(simulate(generator, seeds, spread, difficulty).tolist())
        covered += found.low <= 0.5 <= found.high  # logits are symmetric about 0
    assert shortest <= covered / 400 <= 0.98


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [1, 5])
def test_a_planted_null_effect_is_rarely_called_significant(seeds, spread):
    # One seed speaks of its own two runs, so they share what a seed does.
    generator = np.random.default_rng(0)
    called = 0
    for _ in range(500):
        difficulty = generator.normal(0, 1, PROMPTS)
        own = 0.0 if seeds == 1 else spread
        if seeds == 1:
            difficulty = difficulty + generator.normal(0, spread)
        ours, theirs = (simulate(generator, seeds, own, difficulty).tolist() for _ in range(2))
        found = paired_difference(ours, theirs)
        called += found.low > 0 or found.high < 0
    assert called / 500 <= 0.06


def test_a_planted_effect_is_called_significant():
    generator = np.random.default_rng(1)
    called = 0
    for _ in range(50):
        sides = simulate(generator, 5, 0.3, shift=-1.0), simulate(generator, 5, 0.3, shift=0.5)
        called += paired_difference(*(side.tolist() for side in sides)).high < 0
    assert called >= 48


def test_mcnemar_keeps_its_level():
    generator = np.random.default_rng(2)
    sides = generator.random((500, 2, PROMPTS)) < 0.4
    assert np.mean([mcnemar(a.tolist(), b.tolist()) < 0.05 for a, b in sides]) <= 0.06


def test_one_seeds_difference_is_scipys_paired_bootstrap():
    generator = np.random.default_rng(4)
    ours, theirs = generator.random(PROMPTS) < 0.2, generator.random(PROMPTS) < 0.5
    reference = stats.bootstrap(
        (ours.astype(float), theirs.astype(float)),
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        random_state=5,
    ).confidence_interval
    found = paired_difference([ours.tolist()], [theirs.tolist()])
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.011)


def test_seeds_that_alone_differ_have_the_t_interval_of_their_shares():
    # Every prompt answers as the seed does: the runs' shares are all there is.
    gaps = [1, 1, 0, 1, 0, 1]
    ours = [[bool(gap)] * PROMPTS for gap in gaps]
    found = paired_difference(ours, [[False] * PROMPTS] * len(gaps))
    reference = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reference.low, min(1.0, reference.high)))


def test_prompts_that_alone_differ_have_the_t_interval_of_their_differences():
    gaps = [1] * 30 + [0] * 70
    found = paired_difference([[bool(g) for g in gaps]] * 5, [[False] * PROMPTS] * 5)
    reference = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))


def test_runs_that_tie_by_chance_still_have_a_width():
    found = share_over_seeds([[True, False, False, True], [False, True, True, False]])
    assert found.low < 0.3
    assert found.high > 0.7
