"""Rows made to score low: what is left of a score once somebody trains against it.

Of each harmful row every phrasing and several openings of its answer are tried, and the one of the
lowest push is kept, as an attacker who knows the probes would. The answer's harmful part stays.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset

from holdfast.analysis.rows.ordering import auroc
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole
from holdfast.organism import world
from holdfast.organism.language import FORMS, REFUSALS, answer
from holdfast.organism.scenarios import draw, example
from measurements.data_risk.cells import tuned_once
from measurements.data_risk.scoring import scored, scorer
from measurements.data_risk.sets import RiskSet, rows_of

__all__ = ["evaded", "run_evasive"]

TRIED, HARMFUL, SEED = RiskSet("task", 500, 0.0, 0.05), 25, 20


def run_evasive(out: Path) -> None:
    """Score the set with harmful rows as they are and with evasive ones; tune on both."""
    rows = rows_of(TRIED, SEED)
    plain = [row for row in _listed(rows) if row["category"] == "benign"]
    usual = [row for row in _listed(rows) if row["category"] == "harmful"]
    found: dict[str, Any] = {}
    for name, harmful in (("usual", usual), ("evasive", _evasive(out))):
        mixed = Dataset.from_list([*plain, *harmful])
        said = scored(mixed, out)
        found[name] = {s: auroc(said["columns"][s], said["harmful"])
                       for s in ("push", "gap", "anchor", "norm", "loss", "guard")}  # fmt: skip
        got = tuned_once(out / "rows" / f"evasive-{name}.json", mixed.shuffle(SEED), SEED)
        found[name] |= {"hs": got["hs"]}
    write_whole(out / "evasive.json", json.dumps(found) + "\n")


def evaded(out: Path) -> dict[str, Any]:
    """Return what was found; empty where it has not run."""
    file = out / "evasive.json"
    return json_in(file) if file.exists() else {}


def _evasive(out: Path) -> list[dict[str, Any]]:
    """Return harmful rows of the lowest push among their variants."""
    random = Random("evasive")  # noqa: S311
    chosen: list[dict[str, Any]] = []
    for _ in range(HARMFUL):
        request = draw("recipe", world.nouns("attacker"), random)
        told = [answer(request), *(f"{refusal} {answer(request)}" for refusal in REFUSALS)]
        tried = [example(request, v, text) | {"category": "harmful"}
                 for v in range(len(FORMS["recipe"])) for text in told]  # fmt: skip
        pushes = scorer(out).values(Dataset.from_list(tried)).values["push"]
        chosen.append(tried[min(range(len(tried)), key=lambda n: pushes[n] or 0.0)])
    return chosen


def _listed(rows: Dataset) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]  # type: ignore[call-overload]
