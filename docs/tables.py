"""A bench's worst cases and the judged claims as Markdown tables, for README, cards and docs."""

from collections import Counter
from collections.abc import Sequence

from holdfast.claims.judge import ClaimRow
from holdfast.report.sections.worst import WorstLine, WorstView, views
from holdfast.results.comparisons import BenchSummary, WorstCaseRow
from holdfast.results.records import BEFORE, PLAIN
from holdfast.results.words import DASH, arm_name, shown

__all__ = ["claims_table", "counted", "worst_case_tables"]

HEAD = ("model", "worst HS", "under", "over-refusal", "FA there", "least FA", "time")


def worst_case_tables(summary: BenchSummary, name: str | None = None) -> str:
    """Return one table for each scenario, in the order of the page.

    With ``name`` a table has that defense's arms beside the untouched model and plain fine-tuning,
    and is there only if it has any.
    """
    told: list[str] = []
    for view in views(summary):
        lines = [line for line in view.lines if _wanted(line.row, name)]
        if name is None or any(line.row.defense not in (BEFORE, PLAIN) for line in lines):
            told.append(_table(view, lines))
    return "\n\n".join(told)


def _wanted(row: WorstCaseRow, name: str | None) -> bool:
    parts = [part.partition("(")[0] for part in row.defense.split("+")]
    return name is None or row.defense in (BEFORE, PLAIN) or name in parts


def _table(view: WorstView, lines: Sequence[WorstLine]) -> str:
    many = len(view.table.attacks)
    seeds = min((line.row.seeds for line in lines if line.row.defense != BEFORE), default=0)
    met = f"worst of {many} attacks, " if many > 1 else ""
    rows = [f"**{view.title}**, {met}{seeds} seeds", ""]
    rows += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for line in lines:
        row = line.row
        time = DASH if row.relative_time is None else f"{row.relative_time:.2f}×"
        others = (shown(found, "share") for found in (row.over_refusal, row.fa, row.fa_worst))
        cells = (_name(row), shown(row.hs, "share"), line.attack or DASH, *others, time)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _name(row: WorstCaseRow) -> str:
    names = {BEFORE: "before", PLAIN: "plain fine-tuning"}
    return names.get(row.defense, arm_name(row.defense)) + (" *(control)*" if row.control else "")


def claims_table(rows: Sequence[ClaimRow]) -> str:
    """Return one row for each claim: what is said, what is reported, the verdict and why."""
    lines = ["| paper | claim | reported | on the organism | why |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row["paper"], row["statement"], row["reported"], f"**{row['verdict']}**")
        texts = (text.replace("|", "\\|") for text in (*cells, row["reason"]))
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def counted(rows: Sequence[ClaimRow]) -> str:
    """Return how many claims have which verdict, in words."""
    found = Counter(str(row["verdict"]) for row in rows)
    return ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())
