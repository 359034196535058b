"""A gate as SARIF 2.1.0 (OASIS): one rule per limit, one result per failed limit and category.

GitHub shows one alert for each result and finds it again by ``ruleId``, the file and
``partialFingerprints``; all three stay the same from run to run. Nothing of a prompt is in it.
"""

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from holdfast.evaluation.limits import METRICS, State
from holdfast.report.release.words import check_text, settled_by
from holdfast.results.gating.records import Check, Gate

__all__ = ["sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ALL = "all"
"""The category of answers to which the judge gives none."""


def sarif(gate: Gate) -> dict[str, Any]:
    """Return the log; a limit that holds has a rule and no result."""
    metrics = list(dict.fromkeys(check.metric for check in gate.checks))
    driver = {
        "name": "holdfast", "version": version("holdfast"),
        "rules": [_rule(metric) for metric in metrics],
    }  # fmt: skip
    results = [found for check in gate.checks for found in _results(gate, check, metrics)]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "utf16CodeUnits"}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(metric: str) -> dict[str, Any]:
    known = METRICS[metric]
    return {
        "id": f"holdfast/{metric}",
        "name": f"Limit{metric.title().replace('_', '')}",
        "shortDescription": {"text": f"A limit on {metric}: {known.words}."},
        "fullDescription": {
            "text": f"The one-sided exact bound of {metric} ({known.words}) is held against the "
            "limit that the release was given."
        },
        "help": {"text": "The report's first section says what was counted and what settles it."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["safety"]},
    }


def _results(gate: Gate, check: Check, metrics: list[str]) -> Iterator[dict[str, Any]]:
    if check.state == State.PASS:
        return
    for category, count in (check.categories or {ALL: check.bad}).items():
        named = "" if category == ALL else f" Category {category}: {count}."
        told = " ".join(
            text for text in (f"{check_text(check)}.{named}", settled_by(check)) if text
        )
        yield {
            "ruleId": f"holdfast/{check.metric}",
            "ruleIndex": metrics.index(check.metric),
            "level": _level(gate, check),
            "message": {"text": f"{check.limit} under {check.attack}: {told}"},
            "locations": [_place(gate)],
            "partialFingerprints": {"holdfastLimit/v1": _print(check, category)},
        }


def _level(gate: Gate, check: Check) -> str:
    """Return error for a fail, warning for what is undecided, note where that was allowed."""
    if check.state == State.FAIL:
        return "error"
    return "note" if gate.exit_code == 0 else "warning"


def _place(gate: Gate) -> dict[str, Any]:
    """Return the file with the limits, as a path that is the same on every machine."""
    path = PurePath(gate.policy or "gate.yaml")
    uri = quote(path.name if path.is_absolute() else path.as_posix())
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}, "region": {"startLine": 1},
        }
    }  # fmt: skip


def _print(check: Check, category: str) -> str:
    told = "\n".join((check.limit, check.attack, str(check.seed), category))
    return hashlib.sha256(told.encode()).hexdigest()[:32]
