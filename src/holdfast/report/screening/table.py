"""``screen.csv``: one line for each row; no cell can be taken for a formula by a spreadsheet."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.results.screening.file import ScreenFile

__all__ = ["csv_of", "quoted"]

_FORMULA = ("=", "+", "-", "\N{MINUS SIGN}", "@", "\t", "\r", "\n")


def quoted(text: str) -> str:
    """Return a text that a spreadsheet reads as a text (OWASP, CSV injection)."""
    return (
        f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text
    )


def csv_of(file: ScreenFile, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the rows that were looked at, and of those that cannot be read."""
    found = {each.row: each for each in file.screened}
    reasons: dict[int, list[str]] = {}
    for each in file.findings:
        if each.row is not None:
            reasons.setdefault(each.row, []).append(each.reason)
    names = list(dict.fromkeys(name for row in file.screened for name in row.components))
    heads = [head for name in names for head in (name, f"{name} percentile")]
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["row", "id", "action", "severity", "checks", "reasons", *heads])
    ids = {row["row"]: row.get("id") for row in rows}
    for number in sorted({*ids, *file.unreadable}):
        row = found.get(number)
        said = [str(ids.get(number) or ""), row.action if row else "keep",
                (row.severity or "") if row else "", " ".join(row.checks) if row else "",
                "; ".join(reasons.get(number, ()))]  # fmt: skip
        scores = row.components if row else {}
        values = [scores.get(name) for name in names]
        cells = [cell for one in values for cell in _cells(one)]
        table.writerow([number, *map(quoted, said), *cells])
    return written.getvalue()


def _cells(score: Any) -> tuple[str, str]:
    """Return value and percentile as numbers: they are ours, and no formula."""
    if score is None:
        return "", ""
    return _number(score.value, ".6g"), _number(score.percentile, ".1f")


def _number(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
