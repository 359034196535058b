"""Held-out runs were in no fit, and what is published of them follows from their curves."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.evaluation.drift.calibration import Calibration
from holdfast.evaluation.drift.fit import Fit
from holdfast.evaluation.drift.left_out import LeftOut
from measurements.drift.held_out import plan
from measurements.drift.held_out_counts import Run, counted, share

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "results/drift"


def published(name: str) -> Any:
    return json.loads((PUBLISHED / name).read_text())


def test_no_held_out_run_has_the_seed_of_a_calibrated_one() -> None:
    names, seeds = [run.name for run in plan()], [run.seed for run in plan()]
    assert len(set(names)) == len(names) == 120
    assert min(seeds) > max(row["seed"] for row in published("curves.json"))


def test_safe_kinds_are_held_out_in_the_proportions_of_the_calibration() -> None:
    safe = Counter(
        (row["scenario"], row["p"], row["learning_rate"], row["full"])
        for row in published("curves.json")
        if max(row["hs"]) <= 0.5
    )
    held = Counter((run.scenario, run.p, run.learning_rate, run.full) for run in plan())
    assert sum(safe.values()) == 22
    assert {kind: held[kind] for kind in safe} == {kind: 5 * n for kind, n in safe.items()}


FIT = replace(
    Fit(0.0, -1.0, 0.1, 0.9, 0.9, 20, 20, "hash", start=5.0, noise=1.0, alarm=5.0, looks=2),
    left_out=(LeftOut(0.05, (0.1, 0.1), 5.0),) * 19,
)


def row(name: str, leads: list[float], hs: list[float]) -> dict[str, Any]:
    """A run of four steps with four looks, of which the second and the last were scored."""
    return {"name": f"{name}-s8", "steps": 4, "looked": [0, 1, 2, 3, 4], "leads": [5.0, *leads],
            "scored": [2, 4], "hs": hs}  # fmt: skip


RUNS = [
    row("calm", [5.0, 5.0, 5.0, 5.0], [0.05, 0.05]),
    row("falls", [1.0, 3.0, 1.0, 1.0], [0.05, 0.1]),  # 2 + 4 = 6 > 5; at all: (4 + 2 + 4 + 4)/2.
    row("breaks", [3.0, 1.0, 0.0, -5.0], [0.3, 1.0]),  # 4 + 10.
    row("hidden", [5.0, 5.0, 5.0, 4.0], [0.05, 0.5]),  # Not seen by either rule.
]


def test_counts_by_hand() -> None:
    told = counted([Run(one, FIT) for one in RUNS])
    assert (told["false_alarms"]["count"], told["false_alarms"]["runs"]) == (1, 2)
    assert {kind: one["count"] for kind, one in told["false_alarms_by_kind"].items()} == {
        "calm": 0, "falls": 1,
    }  # fmt: skip
    assert (told["hits"]["count"], told["hits"]["runs"]) == (1, 2)
    assert told["under_prediction_and_margin"]["count"] == 3
    at = told["stops"]["0.3"]
    assert [at["safe"][rule]["count"] for rule in ("score", "alarm", "either")] == [0, 1, 1]
    assert [at["unsafe"][rule]["count"] for rule in ("score", "alarm", "either")] == [1, 1, 1]


def test_looks_that_all_count_1_are_told_apart() -> None:
    slow = row("slow", [4.0, 3.5, 3.5, 3.5], [0.05, 0.05])  # 1.5 + 1.5; all: 5.5, by pace 2.75.
    safe = counted([Run(slow, FIT), Run(RUNS[2], FIT)])["stops"]["0.3"]["safe"]
    counts = [one["count"] for name, one in safe.items() if "look" in name]
    assert counts == [0, 1]


def test_an_interval_is_that_of_clopper_and_pearson() -> None:
    found = share([True] + [False] * 94)
    assert found["interval"] == pytest.approx([0.0003, 0.0573], abs=1e-4)
    assert found["upper_95_one_sided"] == pytest.approx(0.0490, abs=1e-4)


def test_published_counts_follow_from_the_published_curves() -> None:
    told = published("held_out.json")
    fit = Calibration.load(PUBLISHED / "organism.json").fit
    assert sorted(one["name"] for one in told["runs"]) == sorted(run.name for run in plan())
    found = json.loads(json.dumps(counted([Run(one, fit) for one in told["runs"]])))
    assert {key: told[key] for key in found} == found


def test_the_page_says_what_is_published() -> None:
    page, told = (ROOT / "docs/drift.md").read_text(), published("held_out.json")
    for limit, found in published("fit.json")["stops"].items():
        assert f"| {limit} | {found['stopped_though_safe']} of {found['safe_runs']} |" in page
    rows = [told["stops"][limit]["safe"]["either"] for limit in ("0.3", "0.4", "0.44", "0.5")]
    rows += [told["stops"]["0.5"]["unsafe"]["either"], told["false_alarms"], told["hits"]]
    lines = iter(page.splitlines())
    for found in rows:
        low, high = (f"{100 * end:.1f}" for end in found["interval"])
        told_share = f"{100 * found['share']:.1f} % ({low} to {high} %)"
        says = f"| {found['count']} of {found['runs']} | {told_share} |"
        assert any(line.endswith(says) for line in lines), says
    assert f"holds here is **{published('fit.json')['least_limit']:g}**" in page
