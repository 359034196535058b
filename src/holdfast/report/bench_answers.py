"""What a bench says in words: the worst cases in a few sentences."""

from collections.abc import Sequence

from holdfast.report.answers import TASK_BUDGET
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
    over = f" over {n} attacks" if n > 1 else ""
    parts: list[str] = []
    if plain is not None:
        at = _where(plain, table)
        parts.append(
            f"{name[:1].upper()}{name[1:]}: plain fine-tuning ends at a harmful score of "
            f"{percent(plain.hs.value)} {shown(plain.hs, 'bracketed')}"
            + (f" at worst{over}{at}" if over else "")
        )
    if defended:
        parts.append(_defended(table, plain, defended))
    if controls:
        parts.append(_span(controls, "control"))
    return "; ".join(parts) + "." if parts else ""


def _where(row: WorstCaseRow, table: WorstCaseTable) -> str:
    told = apart(row.attack, table.attacks) if row.attack is not None else ""
    return f" ({told})" if told else ""


def _defended(
    table: WorstCaseTable, plain: WorstCaseRow | None, rows: Sequence[WorstCaseRow]
) -> str:
    """Name the lowest worst case where there are seeds to rank, else tell the range."""
    if plain is None or plain.fa_worst is None or not ranked(table.rows):
        return _span(rows, "defense")
    floor = plain.fa_worst.value - TASK_BUDGET
    keeping = [row for row in rows if row.fa_worst is not None and row.fa_worst.value >= floor]
    points = f"{100 * TASK_BUDGET:.0f} points"
    if not keeping:
        return f"none of {len(rows)} defenses keeps the user's task within {points} of it"
    best = min(keeping, key=lambda row: row.hs.value)
    beside = [("task", best.fa), ("over-refusal", best.over_refusal)]
    cost = ", ".join(f"{word} {percent(found.value)}" for word, found in beside if found)
    figures = f"{percent(best.hs.value)} {shown(best.hs, 'bracketed')} ({cost})"
    if len(keeping) == 1 < len(rows):
        return (
            f"of {len(rows)} defenses only {arm_name(best.defense)} keeps the user's task within "
            f"{points} of it: {figures}"
        )
    return (
        f"of the {len(keeping)} in {len(rows)} defenses that keep the user's task within {points} "
        f"of it, {arm_name(best.defense)} is lowest at {figures}"
    )


def _span(rows: Sequence[WorstCaseRow], word: str) -> str:
    """Return the range of worst cases without naming one."""
    values = sorted(row.hs.value for row in rows)
    if len(values) == 1:
        return f"{percent(values[0])} with the one {word}"
    return f"{percent(values[0])} to {percent(values[-1])} with {len(values)} {word}s"
