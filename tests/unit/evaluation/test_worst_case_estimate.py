"""The worst case over settings on worked examples."""

import numpy as np
import pytest

from holdfast.errors import InputError
from holdfast.evaluation.settings.worst_case import worst_case
from holdfast.evaluation.statistics import share_over_seeds
from tests.unit.evaluation.setting_hits import hits, noisy


def test_the_worst_case_is_the_largest_share_and_where_it_is():
    found = worst_case(hits(0.1, 0.6, 0.3))
    assert (found.value, found.setting) == (0.6, 1)
    assert found.low < 0.6 < found.high


def test_one_setting_has_the_interval_of_its_share():
    table = hits(0.3)
    found, alone = worst_case(table), share_over_seeds(table[0])
    assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)


def test_the_worst_cases_lower_end_pays_for_the_choice():
    alone, among = worst_case(hits(0.3)), worst_case(hits(0.3, *[0.0] * 9))
    assert among.low < alone.low
    assert among.high == alone.high


def test_the_worst_case_covers_the_true_maximum_of_equal_settings():
    # Ten settings alike: the largest share leans high, which an interval of it alone misses.
    generator = np.random.default_rng(0)
    tables = [noisy(generator, [0.3] * 10) for _ in range(60)]
    found = [worst_case(table.tolist()) for table in tables]
    assert np.mean([f.value for f in found]) > 0.31
    assert np.mean([f.low <= 0.3 <= f.high for f in found]) >= 0.95
    largest = [share_over_seeds(t[t.mean(axis=(1, 2)).argmax()].tolist()) for t in tables]
    assert np.mean([one.low <= 0.3 <= one.high for one in largest]) < 0.9


@pytest.mark.parametrize("table", [[], [[]], [[[]]], [[[True]], [[True], [False]]], [[[True]], []]])
def test_settings_need_the_same_seeds_and_prompts(table):
    with pytest.raises(InputError, match="same seeds and prompts"):
        worst_case(table)
