"""Intervals cover what they say, on small seeded simulations of runs whose truth is known.

``measurements/statistics_check.py`` does the same at length; the tolerances here are those of the
number of simulations.
"""

from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from holdfast.evaluation.crossed import difference_ends, mean_squares, quantile, share_ends
from holdfast.evaluation.statistics import (
    mcnemar,
    paired_contrast,
    paired_difference,
    share_over_seeds,
    wilson,
)

pytestmark = pytest.mark.thorough  # Simulations.

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


@pytest.mark.parametrize(("count", "n"), [(0.4, 7), (3.7, 20), (55.25, 100), (99.5, 100)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_of_answers_that_are_shares_solves_its_equation(count, n, confidence):
    """Its ends are where ``(p - x)^2 = z^2 x (1 - x) / n``, which is how Wilson defines them."""
    found, z, share = wilson(count, n, confidence), stats.norm.ppf((1 + confidence) / 2), count / n
    assert found.value == share
    assert 0 <= found.low < share < found.high <= 1
    for end in (found.low, found.high):
        assert (share - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, rel=1e-9)


@pytest.mark.parametrize(("ours", "theirs", "factor"), [(0.3, 0.3, 1.0), (0.3, 0.9, 1 / 3)])
def test_pairs_that_all_differ_alike_have_newcombes_interval(ours, theirs, factor):
    """Newcombe (1998), method 10, from the two Wilson intervals; also times a factor."""
    left, right = [[ours] * 10], [[theirs] * 10]
    found = paired_contrast(left, right, factor)
    a, b = wilson(10 * ours, 10), wilson(10 * theirs, 10)
    below = np.hypot(ours - a.low, factor * (b.high - theirs))
    above = np.hypot(a.high - ours, factor * (theirs - b.low))
    assert (found.low, found.value, found.high) == pytest.approx((-below, 0, above))


@pytest.mark.parametrize("n", [20, 100, 400])
def test_wilson_covers_within_a_point_on_average_over_shares(n):
    # Exact, not simulated; at one share it oscillates with n and p, as any such interval does.
    shares, counts = np.linspace(0.02, 0.98, 481), np.arange(n + 1)
    ends = [wilson(int(k), n) for k in counts]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    inside = (low <= shares[:, None]) & (shares[:, None] <= high)
    coverage = (stats.binom.pmf(counts, n, shares[:, None]) * inside).sum(axis=1)
    assert coverage.mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_shares_cover_within_a_point_on_average_and_nowhere_much_less(seeds):
    # A mean of 12 * 1000 draws has a standard error of .2 points, one cell of .7.
    generator, covered = np.random.default_rng([12, seeds]), []
    for shift, spread, own in product((-2.0, 0.0), (0.0, 0.5, 1.0), (0.0, 1.0)):
        difficulty = generator.normal(0, own, (1000, 1, PROMPTS))
        tables = stack(generator, seeds, spread, difficulty, shift)
        low, high = share_ends(tables[np.ptp(tables, axis=(1, 2)) > 0], 0.95)
        truth = mean_share(shift, np.hypot(spread, own))
        covered.append(np.mean((low <= truth) & (truth <= high)))
    assert 0.94 <= np.mean(covered) <= 0.96
    assert min(covered) >= 0.915


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_differences_cover_within_a_point_on_average(seeds):
    generator, covered = np.random.default_rng([13, seeds]), []
    for spread, own in product((0.0, 0.5, 1.0), (0.0, 1.0)):
        difficulty = generator.normal(0, own, (1000, 1, PROMPTS))
        ours = stack(generator, seeds, spread, difficulty, -2.0)
        low, high = difference_ends(ours - stack(generator, seeds, spread, difficulty), 0.95)
        truth = mean_share(-2.0, np.hypot(spread, own)) - 0.5
        covered.append(np.mean((low <= truth) & (truth <= high)))
    assert 0.94 <= np.mean(covered) <= 0.96
    assert min(covered) >= 0.92


def test_stacked_tables_have_the_intervals_of_each():
    tables = stack(np.random.default_rng(3), 4, 1.0, np.zeros((6, 1, PROMPTS)), -1.0)
    low, high = share_ends(tables, 0.95)
    each = [share_over_seeds(table.astype(bool).tolist()) for table in tables]
    assert low == pytest.approx([one.low for one in each])
    assert high == pytest.approx([one.high for one in each])


def stack(generator, seeds, spread, difficulty, shift=0.0):
    """Return tables ``[draws, seeds, prompts]`` of 0.0 and 1.0 like ``simulate``'s hits."""
    logit = shift + generator.normal(0, spread, (len(difficulty), seeds, 1)) + difficulty
    return (generator.random(logit.shape) < special.expit(logit)).astype(float)


def mean_share(shift, spread):
    """Return E[sigmoid(N(shift, spread))] on a fine grid."""
    grid = np.linspace(-9, 9, 4001)
    weights = stats.norm.pdf(grid)
    return float((weights / (1 + np.exp(-shift - spread * grid))).sum() / weights.sum())


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_planted_null_effect_is_rarely_called_significant(seeds, spread):
    # 3000 draws, since at 500 one setting in eight passes 6 % by chance where the level is 5.
    generator = np.random.default_rng(0)
    difficulty = generator.normal(0, 1, (3000, 1, PROMPTS))
    ours, theirs = (stack(generator, seeds, spread, difficulty) for _ in range(2))
    low, high = difference_ends(ours - theirs, 0.95)
    assert np.mean((low > 0) | (high < 0)) <= 0.06
    first = paired_difference(ours[0].astype(bool).tolist(), theirs[0].astype(bool).tolist())
    assert (first.low, first.high) == pytest.approx((low[0], high[0]))


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_null_effect_of_one_seed_is_rarely_called_significant(spread):
    # One seed speaks of its own two runs, so they share what a seed does.
    generator = np.random.default_rng(0)
    called = 0
    for _ in range(500):
        difficulty = generator.normal(0, 1, PROMPTS) + generator.normal(0, spread)
        ours, theirs = (simulate(generator, 1, 0.0, difficulty).tolist() for _ in range(2))
        found = paired_difference(ours, theirs)
        called += found.low > 0 or found.high < 0
    assert called / 500 <= 0.06


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("seeds", "most"), [(3, 0.065), (5, 0.06), (10, 0.06)])
def test_a_planted_null_effect_keeps_its_level_in_the_long_run(seeds, most, spread):
    # Three seeds that differ much call 6.0 % of 8000: at the bound, and they rank nothing.
    generator = np.random.default_rng([14, seeds])
    difficulty = generator.normal(0, 1, (8000, 1, PROMPTS))
    sides = (stack(generator, seeds, spread, difficulty) for _ in range(2))
    low, high = difference_ends(np.subtract(*sides), 0.95)
    assert np.mean((low > 0) | (high < 0)) <= most


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


@pytest.mark.parametrize(("seeds", "prompts"), [(2, 3), (5, 40)])
def test_mean_squares_are_those_of_a_two_way_table(seeds, prompts):
    """Sums over cells one by one; the three parts and nothing else make the whole spread."""
    table = np.random.default_rng(seeds).random((seeds, prompts))
    runs, asked, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = sum(
        (table[s, p] - runs[s] - asked[p] + mean) ** 2
        for s in range(seeds) for p in range(prompts)
    )  # fmt: skip
    found = mean_squares(table)
    freedom = (seeds - 1) * (prompts - 1)
    assert float(found.rest) * freedom == pytest.approx(rest)
    parts = found.runs * (seeds - 1) + found.prompts * (prompts - 1) + found.rest * freedom
    assert float(parts) == pytest.approx(((table - mean) ** 2).sum())


def test_runs_that_tie_by_chance_still_have_a_width():
    found = share_over_seeds([[True, False, False, True], [False, True, True, False]])
    assert found.low < 0.3
    assert found.high > 0.7


def test_prompts_that_alone_differ_have_wilsons_interval_of_their_shares():
    # Identical runs: P prompts, their variance with P - 1, so Wilson with t and P - 1 answers.
    found = share_over_seeds([[True] * 30 + [False] * 70] * 5)
    t, n, share = stats.t.ppf(0.975, 99), 99, 0.3
    center = (share + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t * np.sqrt(share * (1 - share) / n + t**2 / (4 * n**2)) / (1 + t**2 / n)
    assert (found.low, found.high) == pytest.approx((center - half, center + half))


def test_runs_that_alone_differ_have_the_t_interval_of_their_shares_on_the_logit():
    # Every run answers alike throughout, so the runs' shares are 0 or 1 and nothing else varies.
    runs = np.array([1, 1, 0, 1, 0, 1])
    found = share_over_seeds([[bool(run)] * PROMPTS for run in runs])
    share = runs.mean()
    error = runs.std(ddof=1) / np.sqrt(len(runs)) / (share * (1 - share))
    half = stats.t.ppf(0.975, 5) * error
    ends = special.expit([special.logit(share) - half, special.logit(share) + half])
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_one_run_with_a_few_misses_does_not_swallow_the_interval():
    hits = [[False] * 10 + [True] * 90] + [[True] * 100] * 4
    found = share_over_seeds(hits)
    assert found.value == 0.98
    assert 0.7 < found.low < 0.9
    assert found.high < 1


def test_the_degrees_of_freedom_count_the_runs_at_their_median():
    runs, prompts = 2e-3, 1e-3
    scaled = runs * 2 / stats.chi2.median(2)
    freedom = (scaled + prompts) ** 2 / (scaled**2 / 2 + prompts**2 / 99)
    found = quantile(np.array([runs, runs, 0]), np.array([prompts, 0, prompts]), (3, 100), 0.95)
    assert found == pytest.approx(stats.t.ppf(0.975, [freedom, 2, 99]))


def test_an_interval_of_what_does_not_count_mirrors_that_of_what_counts():
    hits = simulate(np.random.default_rng(6), 5, 1.0, shift=-3.0)
    found, mirrored = share_over_seeds(hits.tolist()), share_over_seeds((~hits).tolist())
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))
    assert 0 < found.low < found.value < found.high < 1


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_one_answer_that_counts_among_many_runs_keeps_its_interval_short(seeds):
    # One hit in all says nothing of runs that differ; a t on the logit alone would reach to .9.
    hits = [[False] * PROMPTS for _ in range(seeds)]
    hits[0][0] = True
    found = share_over_seeds(hits)
    assert 0 < found.low < found.high < {2: 0.5, 3: 0.1, 10: 0.01}[seeds]
