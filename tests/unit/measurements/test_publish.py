"""Differences to controls stay within one user's run, and say which where there are several."""

import pytest

from holdfast.results.records import Attack
from measurements.publish import comparisons
from tests.synthetic_bench import BASE, arm

RATES = {"none": 1.0, "ml_lr": 0.2, "ml_lr(roles)": 0.5}


def under(**knobs):
    """Plain tuning, a method and its control under one attack."""
    attack = Attack(scenario="harmful_mix", **{**BASE, **knobs})
    return [
        arm(name, attack, (share, 0.0, 0.9, 10.0, "(" in name), 2, 10)
        for name, share in RATES.items()
    ]


def test_one_share_of_harmful_rows_needs_no_name():
    rows = comparisons(under(p=0.1))
    assert [(r["scenario"], r["minus"]) for r in rows] == [
        ("harmful_mix", "none"), ("harmful_mix", "ml_lr(roles)"),
    ]  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_several_shares_are_told_apart(order):
    runs = [*under(p=0.1), *under(p=0.0)][::order]
    rows = comparisons(runs)
    assert {(r["scenario"], r["minus"]) for r in rows} == {
        (f"harmful_mix, p={p}", minus) for p in ("0.1", "0") for minus in ("none", "ml_lr(roles)")
    }
    assert len(rows) == 4
    alone = {r["minus"]: r["hs"] for r in comparisons(under(p=0.1))}
    assert {r["minus"]: r["hs"] for r in rows if "p=0.1" in r["scenario"]} == alone


def test_runs_of_another_length_are_no_controls_of_each_other():
    assert len(comparisons([*under(p=0.1), *under(p=0.1, steps=240)])) == 4
