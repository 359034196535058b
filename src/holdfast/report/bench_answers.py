"""What a bench says in words: the worst cases in a few sentences."""

from collections.abc import Sequence

from holdfast.report.answers import cost, lowest
from holdfast.report.sections.worst import ranked
from holdfast.results.attacks import apart
from holdfast.results.comparisons import BenchSummary, WorstCaseRow, WorstCaseTable
from holdfast.results.records import BEFORE, PLAIN
from holdfast.results.words import TITLES, arm_name, percent, shown

__all__ = ["bench_answers"]


def bench_answers(summary: BenchSummary) -> list[str]:
    """Return one sentence or two on each scenario, the first in full."""
    return [text for table in summary.worst if (text := _told(table))]


def _told(table: WorstCaseTable) -> str:
    """Return what one scenario's worst cases say; '' where nothing was compared."""
    rows = [row for row in table.rows if row.defense != BEFORE]
    plain = next((row for row in rows if row.defense == PLAIN), None)
    defended = [row for row in rows if not row.control and row.defense != PLAIN]
    controls = [row for row in rows if row.control]
    name = TITLES.get(table.scenario, table.scenario)
    n = len(table.attacks)
    parts: list[str] = []
    if plain is not None:
        told = apart(plain.attack, table.attacks) if plain.attack is not None else ""
        at = f" at worst over {n} attacks" + (f" ({told})" if told else "")
        parts.append(
            f"{name[:1].upper()}{name[1:]}: plain fine-tuning ends at a harmful score of "
            f"{percent(plain.hs.value)} {shown(plain.hs, 'bracketed')}{at if n > 1 else ''}"
        )
    if defended:
        parts.append(_defended(table, plain, defended))
    if controls:
        parts.append(_span(controls, "control"))
    return "; ".join(parts) + "." if parts else ""


def _defended(
    table: WorstCaseTable, plain: WorstCaseRow | None, rows: Sequence[WorstCaseRow]
) -> str:
    """Name the lowest worst case where there are seeds to rank, else tell the range."""
    if plain is None or plain.fa_worst is None or not ranked(table.rows):
        return _span(rows, "defense")
    found = [
        (row.fa_worst.value, row.hs.value, arm_name(row.defense), _figures(row))
        for row in rows
        if row.fa_worst is not None
    ]
    return lowest(plain.fa_worst.value, found) if found else _span(rows, "defense")


def _figures(row: WorstCaseRow) -> str:
    beside = (found and found.value for found in (row.fa, row.over_refusal))
    return f"{percent(row.hs.value)} {shown(row.hs, 'bracketed')}{cost(*beside)}"


def _span(rows: Sequence[WorstCaseRow], word: str) -> str:
    """Return the range of worst cases without naming one."""
    told = [_figures(row) for row in sorted(rows, key=lambda row: row.hs.value)]
    if len(told) == 1:
        return f"{told[0]} with the one {word}"
    return f"{told[0]} to {told[-1]} with {len(told)} {word}s"
