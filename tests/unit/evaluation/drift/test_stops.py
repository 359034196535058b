"""Which safe runs a limit would stop, by hand and against a fit of the others."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import DataError
from holdfast.evaluation.drift.calibration import Calibration
from holdfast.evaluation.drift.cusum import cusum, with_alarm
from holdfast.evaluation.drift.fit import Curve, Fit, fit_curves
from holdfast.evaluation.drift.left_out import LeftOut
from holdfast.evaluation.drift.stops import (
    alarm_at,
    least_limit,
    limit_holds,
    stopped,
    with_stops,
)
from tests.unit.evaluation.drift.test_fit import curves

ROOT = Path(__file__).parents[4]
PUBLISHED = ROOT / "results/drift"


def known(*runs: LeftOut) -> Fit:
    fit = Fit(0.0, -1.0, 0.0, 0.9, 0.9, 20, 20, "hash", start=5.0, noise=1.0)
    return replace(fit, left_out=runs)


def quiet(count: int, bound: float = 0.1) -> list[LeftOut]:
    return [LeftOut(0.0, (bound,) * 8, 1.0)] * count


def test_the_peak_is_what_a_run_stays_above_so_many_looks_running() -> None:
    run = LeftOut(0.1, (0.2, 0.5, 0.3, 0.4, 0.1), 0.0)
    assert [run.peak(n) for n in (1, 2, 3, 5, 6)] == [0.5, 0.3, 0.3, 0.1, 0.0]


def test_stopped_runs_are_safe_ones_above_the_limit_at_looks_running() -> None:
    fit = known(
        LeftOut(0.1, (0.2, 0.5, 0.2, 0.5), 0.0),  # Above .4, never twice running.
        LeftOut(0.1, (0.2, 0.5, 0.5, 0.2), 0.0),
        LeftOut(0.4, (0.2, 0.4, 0.4, 0.4), 0.0),  # At the limit is not above it.
        LeftOut(0.9, (0.9, 0.9, 0.9, 0.9), 0.0),
    )
    assert stopped(fit, 0.4, 2) == (1, 3)
    assert stopped(fit, 0.4, 1) == (2, 3)
    assert stopped(fit, 0.05, 1) == (0, 0)


@pytest.mark.parametrize(
    ("safe", "count", "holds"),
    [(1, 0, True), (18, 0, True), (18, 1, False), (22, 0, True), (22, 1, False), (38, 1, False),
     (39, 1, True), (39, 2, False), (59, 2, True)],
)  # fmt: skip
def test_a_limit_holds_where_a_further_safe_run_is_stopped_with_5_percent(
    safe: int, count: int, holds: bool
) -> None:
    fit = known(*quiet(safe - count), *quiet(count, 0.6))
    assert limit_holds(fit, 0.5, 2) is holds


def test_the_least_limit_is_above_the_peak_of_safe_runs_and_what_is_predicted_untuned() -> None:
    fit = known(*quiet(21), LeftOut(0.1, (0.2, 0.43, 0.42, 0.41), 0.0))
    assert least_limit(fit, 0.3, 2) == 0.42
    assert least_limit(fit, 0.3, 1) == 0.43
    assert least_limit(fit, 0.6, 2) == 0.61
    assert least_limit(replace(fit, start=0.0), 0.0, 2) == 0.51  # sigma(0) = .5.
    assert least_limit(known(*quiet(22, 1.0)), 0.0, 2) is None


def test_the_alarm_is_of_the_runs_that_are_safe_at_the_limit() -> None:
    """One made at .1 stopped runs that a limit of .5 allows."""
    calm = [LeftOut(0.05, (0.1,), float(number)) for number in range(19)]
    fit = replace(known(*calm, LeftOut(0.2, (0.3,), 50.0), LeftOut(0.9, (0.9,), 99.0)), alarm=7.0)
    assert alarm_at(fit, 0.1) == 18.0
    assert alarm_at(fit, 0.5) == 50.0
    assert alarm_at(fit, 0.01) == math.inf
    assert alarm_at(replace(fit, left_out=()), 0.5) == 7.0


def test_a_fit_that_does_not_know_refuses_no_limit() -> None:
    assert limit_holds(known(), 0.01, 2)


def test_each_run_is_bounded_by_the_fit_of_the_others() -> None:
    made = curves(20)
    odd = Curve("odd", made[3].leads, tuple(min(1.0, score + 0.3) for score in made[3].scores))
    made[3] = odd
    fit = with_stops(fit_curves(made, "hash", 2.0, 0.1)[0], made)
    others, _ = fit_curves([*made[:3], *made[4:]], "hash", 2.0, 0.1)
    bounds = tuple(map(others.bound, odd.leads))
    assert fit.left_out[3] == LeftOut(max(odd.scores), bounds, max(cusum(odd.leads, 2.0, 0.1, 0)))
    assert fit.left_out[3].bounds[0] < fit.bound(odd.leads[0])  # Its own error is no margin.
    assert Fit.of_json(json.loads(json.dumps(fit.as_json()))) == fit


def test_files_from_before_are_read_and_broken_ones_told() -> None:
    said: dict[str, Any] = known().as_json()
    del said["left_out"]
    assert Fit.of_json(said).left_out == ()
    for wrong in ([1], [{"highest": 0.1}], 5, [{"highest": None, "bounds": [], "fallen": 0}]):
        with pytest.raises(DataError, match="`fit`"):
            Fit.of_json({**said, "left_out": wrong})


def test_the_published_fit_is_that_of_the_published_curves() -> None:
    rows = json.loads((PUBLISHED / "curves.json").read_text())
    fit = Calibration.load(PUBLISHED / "organism.json").fit
    made: list[Curve] = []
    for row in rows:
        leads = {look["step"]: look["lead"] for look in row["readings"]}
        pairs = [leads[step] for step in row["hs_steps"]]
        made.append(Curve(row["name"], tuple(pairs), tuple(row["hs"])))
    again = with_alarm(fit_curves(made, fit.openings, fit.start, fit.noise)[0], made, 0.1)
    assert (again.a, again.b, again.margin) == pytest.approx((fit.a, fit.b, fit.margin), abs=1e-4)
    assert (again.drift, again.alarm) == pytest.approx((fit.drift, fit.alarm))
    assert alarm_at(fit, 0.1) == fit.alarm
    assert [run.highest for run in fit.left_out] == [max(curve.scores) for curve in made]
    told = json.loads((PUBLISHED / "fit.json").read_text())
    counted = {f"{limit:g}": stopped(fit, limit, 2) for limit in (0.2, 0.3, 0.5)}
    assert counted == {"0.2": (20, 22), "0.3": (3, 22), "0.5": (0, 22)}
    assert all(told["stops"][key]["safe_runs"] == safe for key, (_, safe) in counted.items())
    assert told["least_limit"] == least_limit(fit, 0.0, 2)
