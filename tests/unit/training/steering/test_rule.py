"""The controller's rule, move by move."""

import math
from typing import Any

import pytest

from holdfast.errors import ConfigError
from holdfast.training.steering.rule import Rule, moved


def rule(**changes: Any) -> Rule:
    told = {"target": 2.0, "start": 0.1, "low": 0.01, "high": 1.0, "kp": 0.1, "ki": 0.05}
    return Rule(**{**told, **changes})


def test_one_move_is_the_equation() -> None:
    value, integral = moved(rule(), 0.1, 0.5, lead=1.0, noise=0.1)
    assert integral == 1.5
    assert value == pytest.approx(0.1 * math.exp(0.1 * 1.0 + 0.05 * 1.5))


def test_gains_of_zero_stay_at_the_start_bit_for_bit() -> None:
    odd = rule(start=0.1 + 1e-17 * 3, kp=0.0, ki=0.0)
    value, integral = odd.start, 0.0
    for lead in (-3.0, 0.0, 1.9, 5.0):
        value, integral = moved(odd, value, integral, lead, 0.0)
        assert value == odd.start


def test_nothing_moves_within_the_noise_of_a_probe() -> None:
    assert moved(rule(), 0.2, 0.3, lead=1.95, noise=0.1) == (0.2, 0.3)


def test_a_look_moves_by_one_and_a_half_at_most_and_the_sum_stands_at_the_bounds() -> None:
    value, integral = moved(rule(kp=5.0), 0.1, 0.0, lead=0.0, noise=0.1)
    assert value == pytest.approx(0.15)
    assert integral == 0.0  # What was wanted lies above the bound: it must not wind up.
    for _ in range(20):
        value, integral = moved(rule(kp=5.0), value, integral, 0.0, 0.1)
    assert (value, integral) == (1.0, 0.0)


def test_it_comes_down_only_where_it_may() -> None:
    assert moved(rule(), 0.4, 0.0, lead=4.0, noise=0.1)[0] == 0.4
    value, _ = moved(rule(two_sided=True), 0.4, 0.0, lead=4.0, noise=0.1)
    assert value == pytest.approx(0.4 / 1.5)


@pytest.mark.parametrize(
    "wrong",
    [{"start": 2.0}, {"low": 0.0}, {"kp": -1.0}, {"rate": 0.5}, {"target": math.nan}],
)
def test_what_steers_nowhere_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="`steer`"):
        rule(**wrong)
