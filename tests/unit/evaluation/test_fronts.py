"""Pareto fronts on worked examples."""

import numpy as np
import pytest

from holdfast.errors import InputError
from holdfast.evaluation.settings.fronts import on_front, pareto_front
from tests.unit.evaluation.setting_hits import hits, noisy


def test_the_front_is_what_nothing_dominates():
    fa = np.array([0.9, 0.8, 0.8, 0.6, 0.9])
    hs = np.array([0.5, 0.2, 0.3, 0.2, 0.5])
    # 2 loses to 1 by HS, 3 to 1 by FA; 0 and 4 coincide and both stay.
    assert on_front(fa, hs).tolist() == [True, True, False, False, True]


def test_the_front_reads_fa_as_good_and_hs_as_bad():
    found = pareto_front(hits(0.9, 0.2), hits(0.1, 0.8))
    assert [point.on_front for point in found] == [True, False]
    assert [point.stability for point in found] == [1.0, 0.0]


def test_points_that_noise_could_swap_are_on_the_front_in_some_resamples_only():
    generator = np.random.default_rng(6)
    fa = hits(0.8, 0.8, 0.5)
    hs = noisy(generator, [0.30, 0.31, 0.9]).tolist()
    found = pareto_front(fa, hs)
    assert sum(point.on_front for point in found) == 1
    assert all(0.02 < point.stability < 0.98 for point in found[:2])
    assert found[2].stability == 0.0


def test_settings_that_answer_alike_share_the_front_in_every_resample():
    found = pareto_front(hits(0.7, 0.7), hits(1 / 3, 1 / 3, prompts=99))
    assert [point.stability for point in found] == [1.0, 1.0]


def test_the_same_seed_gives_the_same_front():
    table = noisy(np.random.default_rng(1), [0.4, 0.5]).tolist()
    assert pareto_front(table, table, seed=2) == pareto_front(table, table, seed=2)


def test_both_figures_need_the_same_settings():
    with pytest.raises(InputError, match="same settings"):
        pareto_front(hits(0.1, 0.2), hits(0.3))
