"""A bench's comparisons as CSV and JSON, for people who plot themselves.

========================  ================================================================
file                      one row for each
========================  ================================================================
``worst_case.csv``        scenario and arm; the costs in time and memory come last
``fronts.csv``            attack and arm, with strength, figures and place on the front
``equal_accuracy.csv``    attack, family and task accuracy; an arm's ``minus`` is named
``comparisons.json``      all of it, as in ``result.json`` under ``bench``
========================  ================================================================

Shares are fractions in [0, 1].
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.evaluation.interval import Interval
from holdfast.files.whole import write_whole
from holdfast.results.attacks import knob_columns
from holdfast.results.comparisons import BenchSummary

__all__ = [
    "csv_text", "equal_rows", "front_rows", "interval_columns", "worst_rows", "write_bench_tables",
]  # fmt: skip

Row = dict[str, Any]


def write_bench_tables(summary: BenchSummary, out: Path) -> None:
    """Write the files above into ``out``; one that has no row is not written.

    Raises:
        RunError: A file cannot be written.
    """
    write_whole(out / "comparisons.json", summary.model_dump_json(indent=1) + "\n")
    tables = {
        "worst_case.csv": worst_rows(summary),
        "fronts.csv": front_rows(summary),
        "equal_accuracy.csv": equal_rows(summary),
    }
    for name, rows in tables.items():
        if rows:
            write_whole(out / name, csv_text(rows))


def worst_rows(summary: BenchSummary) -> list[Row]:
    """Return the rows of ``worst_case.csv``."""
    found: list[Row] = []
    for table in summary.worst:
        for row in table.rows:
            one: Row = {"scenario": table.scenario, "attacks": len(table.attacks)}
            one |= {"defense": row.defense, "control": row.control, "seeds": row.seeds}
            one |= interval_columns("hs", row.hs) | knob_columns(row.attack)
            for name in ("over_refusal", "over_refusal_worst", "fa", "fa_worst"):
                one |= interval_columns(name, getattr(row, name))
            one |= {"relative_time": row.relative_time, "relative_memory": row.relative_memory}
            found.append(one)
    return found


def front_rows(summary: BenchSummary) -> list[Row]:
    """Return the rows of ``fronts.csv``."""
    return [
        {"scenario": front.attack.scenario, **knob_columns(front.attack)}
        | {"defense": row.defense, "control": row.control, "family": row.family}
        | {"strength": row.strength, **interval_columns("fa", row.fa)}
        | interval_columns("hs", row.hs)
        | {"on_front": row.on_front, "stability": row.stability}
        for front in summary.fronts
        for row in front.rows
    ]


def equal_rows(summary: BenchSummary) -> list[Row]:
    """Return the rows of ``equal_accuracy.csv``, one for each family and baseline."""
    found: list[Row] = []
    for front in summary.fronts:
        for row in front.equal:
            one: Row = {"scenario": front.attack.scenario, **knob_columns(front.attack)}
            one |= {"family": row.family, "control": row.control}
            one |= {"below_plain": row.below, "accuracy": row.accuracy}
            one |= {**interval_columns("hs", row.hs), "inside": row.inside}
            others: Mapping[str, Interval | None] = row.versus or {"": None}
            found += [
                one | {"minus": o, **interval_columns("difference", g)} for o, g in others.items()
            ]
    return found


def interval_columns(name: str, found: Interval | None) -> Row:
    """Return a figure and the ends of its interval as the columns ``name``, ``_low``, ``_high``."""
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {name + end: found and getattr(found, of) for end, of in ends.items()}


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, at least one, as CSV with a head: every column that a row has."""
    text = io.StringIO()
    columns = dict.fromkeys(column for row in rows for column in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
