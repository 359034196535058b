"""From leads to harmful scores: the fit, its run-level margin, the bar, and the alarm."""

import json
import math

import numpy as np
import pytest
from scipy.special import expit

from holdfast.errors import DataError
from holdfast.evaluation.drift.cusum import cusum, paced, with_alarm
from holdfast.evaluation.drift.fit import Curve, Fit, conformal, fit_curves


def curves(count: int, seed: int = 0, noise: float = 0.0, shift: float = 0.0) -> list[Curve]:
    """Return runs whose score is sigma(1 - 2 lead), moved per run by N(0, shift)."""
    rng = np.random.default_rng(seed)
    made: list[Curve] = []
    for number in range(count):
        leads = np.linspace(2.0, 2.0 - 4 * (number + 1) / count, 8) + noise * rng.normal(size=8)
        scores = expit(1 - 2 * leads + shift * rng.normal())
        made.append(Curve(f"run-{number}", tuple(map(float, leads)), tuple(map(float, scores))))
    return made


def test_the_fit_finds_the_curve_that_made_the_scores() -> None:
    fit, errors = fit_curves(curves(20), "hash", 2.0, 0.1)
    assert (fit.a, fit.b) == pytest.approx((1.0, -2.0), abs=5e-3)
    assert fit.within == pytest.approx(1.0)
    assert fit.between == pytest.approx(1.0)
    assert fit.validated
    assert max(errors) < 2e-3
    assert fit.margin == pytest.approx(max(0.0, *errors))


def test_a_run_that_scores_above_its_lead_is_the_margin() -> None:
    made = curves(20)
    odd = Curve("odd", made[3].leads, tuple(min(1.0, score + 0.3) for score in made[3].scores))
    fit, errors = fit_curves([*made[:3], odd, *made[4:]], "hash", 2.0, 0.1)
    assert errors.index(max(errors)) == 3
    assert fit.margin == max(errors) > 0.25


def test_the_margin_holds_for_new_runs_as_often_as_it_says() -> None:
    held = 0
    for seed in range(20):
        made = curves(21, seed, shift=0.5)
        np.random.default_rng(seed).shuffle(made)  # type: ignore[arg-type]
        fit, _ = fit_curves(made[:20], "hash", 2.0, 0.1)
        new = made[20]
        held += all(
            score <= fit.predicted(lead) + fit.margin
            for lead, score in zip(new.leads, new.scores, strict=True)
        )
    assert held >= 17  # Of 20 at 95 %, fewer than 17 have a probability of .02.


def test_scores_that_leads_tell_nothing_of_miss_the_bar() -> None:
    rng = np.random.default_rng(1)
    made = [Curve(c.name, c.leads, tuple(rng.permutation(c.scores))) for c in curves(20)]
    fit, _ = fit_curves(made, "hash", 2.0, 0.1)
    assert not fit.validated
    assert not fit_curves(curves(10), "hash", 2.0, 0.1)[0].validated  # Too few runs.


@pytest.mark.parametrize(("count", "place"), [(19, 19), (20, 20), (39, 38), (99, 95)])
def test_the_conformal_place(count: int, place: int) -> None:
    assert conformal(list(range(1, count + 1))) == place


def test_fewer_than_19_runs_promise_nothing() -> None:
    assert math.isinf(conformal([0.1] * 18))
    fit, _ = fit_curves(curves(5), "hash", 2.0, 0.1)
    assert fit.bound(5.0) == 1.0


def test_no_fit_of_too_little() -> None:
    with pytest.raises(DataError, match="two runs"):
        fit_curves(curves(1), "hash", 2.0, 0.1)
    with pytest.raises(DataError, match="`fit`"):
        Fit.of_json({"a": 1})


def test_a_fit_comes_back_from_json() -> None:
    fit, _ = fit_curves(curves(20), "hash", 2.0, 0.1)
    assert Fit.of_json(fit.as_json()) == fit
    few, _ = fit_curves(curves(5), "hash", 2.0, 0.1)
    assert math.isinf(few.margin)
    assert Fit.of_json(json.loads(json.dumps(few.as_json(), allow_nan=False))) == few


def test_cusum_by_hand() -> None:
    # (1 - .5)/.5 - .5 = .5; (1 - 0)/.5 - .5 = 1.5; then a gain of two units, and none below 0.
    assert cusum([0.5, 0.0, 2.0, 9.0], 1.0, 0.5, 0.5) == [0.5, 2.0, 0.0, 0.0]
    assert cusum([1.0, 1.0], 1.0, 0.0, 0.5) == [0.0, 0.0]  # The noise of one prompt is 0.


def test_a_look_counts_by_the_share_of_the_run_since_the_one_before() -> None:
    assert paced([0, 15, 30, 60], 120, 8) == [1.0, 1.0, 2.0]
    assert paced([0, 5, 10], 120, 0) == [1.0, 1.0]  # A fit that does not know: as it was.
    assert paced([0], 120, 8) == []
    assert cusum([0.5, 0.0, 2.0], 1.0, 0.5, 0.5, [1.0, 0.5, 2.0]) == [0.5, 1.25, 0.0]


def test_a_run_that_is_looked_at_more_often_alarms_no_sooner() -> None:
    """Three times the looks added up to three times the sum, and safe runs alarmed."""

    def peak(looks: int) -> float:
        leads = [2.0 - number / looks for number in range(1, looks + 1)]
        weights = paced(range(0, 121, 120 // looks), 120, 8)
        return max(cusum(leads, 2.0, 0.1, 1.0, weights))

    assert peak(8) == pytest.approx(37.0)
    assert 0.8 * peak(8) < peak(24) < peak(8)
    assert 0.8 * peak(8) < peak(120) < peak(8)


def test_runs_of_other_looks_give_one_threshold() -> None:
    def run(number: int, looks: int) -> Curve:
        leads = [2.0 - (0.5 + number / 100) * at / looks for at in range(1, looks + 1)]
        return Curve(f"{number}", tuple(leads), (0.0,) * looks)

    fit, _ = fit_curves(curves(20), "hash", 2.0, 0.1)
    eight = with_alarm(fit, [run(n, 8) for n in range(19)], 0.05)
    mixed = with_alarm(fit, [run(n, 8 if n else 24) for n in range(19)], 0.05)
    assert eight.looks == 8
    assert mixed.looks == 24
    assert mixed.alarm == pytest.approx(3 * eight.alarm, rel=0.05)


def test_a_fit_without_a_safe_run_knows_its_looks_all_the_same() -> None:
    """Its alarm may be made for a limit at which runs are safe; unpaced, many looks passed it."""
    told = with_alarm(fit_curves(curves(20), "hash", 2.0, 0.1)[0], curves(20), 0.0)
    assert (told.safe_runs, told.alarm, told.looks) == (0, math.inf, 8)


def test_at_most_one_in_twenty_safe_runs_passes_the_alarm() -> None:
    rng = np.random.default_rng(0)

    def safe(number: int) -> Curve:
        leads = 2.0 - 0.1 * np.arange(8) / 8 + 0.1 * rng.normal(size=8)
        return Curve(f"safe-{number}", tuple(map(float, leads)), (0.0,) * 8)

    fit, _ = fit_curves(curves(20), "hash", 2.0, 0.1)
    known = with_alarm(fit, [*curves(20)[10:], *(safe(n) for n in range(39))], 0.05)
    assert known.safe_runs == 39
    fresh = [safe(n) for n in range(400)]
    passed = sum(max(cusum(c.leads, 2.0, 0.1, known.drift)) > known.alarm for c in fresh)
    assert passed <= 36  # 5 % of 400 is 20; the threshold itself is an estimate of 39 runs.
    assert with_alarm(fit, [safe(0)] * 18, 0.05).alarm == math.inf
    lost = cusum([1.5] * 8, 2.0, 0.1, known.drift)
    assert max(lost) > known.alarm
