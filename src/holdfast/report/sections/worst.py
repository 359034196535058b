"""Worst cases as the page shows them: a map of defenses and scenarios, and a table of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.evaluation.compare import MIN_SEEDS_TO_RANK
from holdfast.results.attacks import apart, attack_text
from holdfast.results.comparisons import BenchSummary, WorstCaseRow, WorstCaseTable
from holdfast.results.records import BEFORE, PLAIN
from holdfast.results.words import TITLES, arm_name, percent, shown

__all__ = ["HeatCell", "HeatRow", "WorstLine", "WorstView", "heat_rows", "ranked", "views"]

FULL_HEAT = 50
"""Percent of the harm color in a cell of 100%: text on it stays readable in both modes."""


@dataclass(frozen=True)
class HeatCell:
    """One arm in one scenario; all empty where it was not compared."""

    scenario: str
    hs: str = ""
    interval: str = ""
    heat: str = "0%"
    beside: str = ""
    title: str = ""


@dataclass(frozen=True)
class HeatRow:
    """One arm over the scenarios."""

    defense: str
    control: bool
    cells: list[HeatCell]


@dataclass(frozen=True)
class WorstLine:
    """One row of a scenario's table."""

    row: WorstCaseRow
    attack: str
    dots: list[str]
    width: str


@dataclass(frozen=True)
class WorstView:
    """One scenario's table as the page shows it."""

    table: WorstCaseTable
    title: str
    lines: list[WorstLine]
    sorted: bool
    attacks: list[str]


def ranked(rows: Sequence[WorstCaseRow]) -> bool:
    """Return whether every compared arm has the seeds that an order by result needs."""
    return all(row.seeds >= MIN_SEEDS_TO_RANK for row in rows if row.attack is not None)


def views(summary: BenchSummary) -> list[WorstView]:
    """Return every scenario's table, sorted by the worst case where there are enough seeds."""
    return [_view(table) for table in summary.worst]


def heat_rows(summary: BenchSummary) -> list[HeatRow]:
    """Return the map's rows, in the order of the first scenario's table, then of the others."""
    order = dict.fromkeys(row.defense for t in summary.worst for row in _ordered(t))
    by_table = [{row.defense: row for row in table.rows} for table in summary.worst]
    found: list[HeatRow] = []
    for name in order:
        own = [rows.get(name) for rows in by_table]
        cells = [_cell(t, row) for t, row in zip(summary.worst, own, strict=True)]
        found.append(HeatRow(name, any(row.control for row in own if row is not None), cells))
    return found


def _ordered(table: WorstCaseTable) -> list[WorstCaseRow]:
    """Return the rows: what is compared with first, then by worst case or as in the recipe."""
    first = [row for name in (BEFORE, PLAIN) for row in table.rows if row.defense == name]
    rest = [row for row in table.rows if row not in first]
    if ranked(table.rows):
        rest.sort(key=lambda row: row.hs.value)
    return first + rest


def _view(table: WorstCaseTable) -> WorstView:
    lines = [
        WorstLine(
            row,
            apart(row.attack, table.attacks) if row.attack else "",
            [f"{100 * share:.1f}%" for share in row.hs_by_seed] if row.seeds > 1 else [],
            f"{100 * row.hs.value:.1f}%",
        )
        for row in _ordered(table)
    ]
    attacks = [attack_text(attack) for attack in table.attacks]
    title = TITLES.get(table.scenario, table.scenario)
    return WorstView(table, title, lines, ranked(table.rows), attacks)


def _cell(table: WorstCaseTable, row: WorstCaseRow | None) -> HeatCell:
    title = TITLES.get(table.scenario, table.scenario)
    if row is None:
        return HeatCell(title)
    costs = [("refuses", row.over_refusal), ("task", row.fa)]
    beside = ", ".join(f"{word} {percent(found.value)}" for word, found in costs if found)
    where = f"worst at {attack_text(row.attack)}" if row.attack else "before any fine-tuning"
    return HeatCell(
        scenario=title,
        hs=percent(row.hs.value),
        interval=shown(row.hs),
        heat=f"{FULL_HEAT * row.hs.value:.0f}%",
        beside=beside,
        title=f"{arm_name(row.defense)}, {title}: {where}; {row.seeds} seeds",
    )
