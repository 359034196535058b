"""Worst cases over the attacks: a map of defenses and scenarios, and a table of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.evaluation.compare import MIN_SEEDS_TO_RANK
from holdfast.report.shown import Shown
from holdfast.results.attacks import apart, attack_text
from holdfast.results.comparisons import BenchSummary, WorstCaseRow, WorstCaseTable
from holdfast.results.records import BEFORE, PLAIN
from holdfast.results.words import TITLES

__all__ = ["WorstLine", "WorstView", "heat_rows", "ranked", "section", "views"]

FULL_HEAT = 0.5
"""Share of the harm color in a cell of 100%: text on it stays readable in both modes."""
HeatRow = tuple[str, bool, list[WorstCaseRow | None]]
"""An arm, whether it is a control, and its row in each table, None where it was not compared."""


@dataclass(frozen=True)
class WorstLine:
    """One row of a scenario's table, and what sets its attack apart."""

    row: WorstCaseRow
    attack: str


@dataclass(frozen=True)
class WorstView:
    """One scenario's table as it is shown."""

    table: WorstCaseTable
    title: str
    lines: list[WorstLine]
    sorted: bool
    attacks: list[str]


def section(shown: Shown) -> dict[str, Any] | None:
    """Return the map and the tables; None where every scenario has one attack."""
    if not shown.several or not shown.bench.worst:
        return None
    heat = {"heat": heat_rows(shown.bench), "full": FULL_HEAT}
    return {**heat, "views": views(shown.bench), "attack_text": attack_text}


def ranked(rows: Sequence[WorstCaseRow]) -> bool:
    """Return whether every compared arm has the seeds that an order by result needs."""
    return all(row.seeds >= MIN_SEEDS_TO_RANK for row in rows if row.attack is not None)


def views(summary: BenchSummary) -> list[WorstView]:
    """Return every scenario's table, sorted by the worst case where there are enough seeds."""
    return [_view(table) for table in summary.worst]


def heat_rows(summary: BenchSummary) -> list[HeatRow]:
    """Return the map's rows, in the order of the first scenario's table, then of the others."""
    order = dict.fromkeys(row.defense for table in summary.worst for row in _ordered(table))
    by_table = [{row.defense: row for row in table.rows} for table in summary.worst]
    found = [(name, [rows.get(name) for rows in by_table]) for name in order]
    return [(name, any(row.control for row in own if row), own) for name, own in found]


def _ordered(table: WorstCaseTable) -> list[WorstCaseRow]:
    """Return the rows: what is compared with first, then by worst case or as in the recipe."""
    first = [row for name in (BEFORE, PLAIN) for row in table.rows if row.defense == name]
    rest = [row for row in table.rows if row not in first]
    if ranked(table.rows):
        rest.sort(key=lambda row: row.hs.value)
    return first + rest


def _view(table: WorstCaseTable) -> WorstView:
    lines = [
        WorstLine(row, apart(row.attack, table.attacks) if row.attack else "")
        for row in _ordered(table)
    ]
    attacks = [attack_text(attack) for attack in table.attacks]
    title = TITLES.get(table.scenario, table.scenario)
    return WorstView(table, title, lines, ranked(table.rows), attacks)
