"""The page of engines: every defense on each, as it was really run, with what it was held against.

The columns' own words (``tests/engines/columns.py``) need torch, so ``results/engines.json`` has
them.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["engines_table"]

TUNINGS = {"lora": "LoRA", "full": "full", "qlora": "QLoRA (4 bits)"}
Cells = Mapping[str, Mapping[str, Any]]


def engines_table(found: Mapping[str, Any]) -> str:
    """Return a table of each way of tuning, the columns' terms and the reasons of refusals."""
    columns: Mapping[str, Mapping[str, Any]] = found["columns"]
    notes: dict[str, int] = {}
    labels = {key.split("/")[2] for key in found["cells"]}
    missing = len(labels) * len(columns) * len(TUNINGS) - len(found["cells"])
    parts = [_count(found["cells"], missing), _terms(found["cells"], columns)]
    parts += [
        f"### {title}\n\n{_table(found['cells'], columns, tuning, notes)}"
        for tuning, title in TUNINGS.items()
    ]
    listed = [f"{number}. {said}" for said, number in notes.items()]
    return "\n\n".join([*parts, *(["### Why refused\n\n" + "\n".join(listed)] if listed else [])])


def _count(cells: Cells, missing: int) -> str:
    equal = sum(cell["state"] == "equal" for cell in cells.values())
    told = (
        f"{len(cells)} cells were run: {equal} equal, {len(cells) - equal} refused, no third kind."
    )
    if not missing:
        return f"{told} None is missing."
    return (
        f"{told} {missing} are *not run*, which says nothing: `python measurements/engines.py` "
        "runs them."
    )


def _terms(cells: Cells, columns: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| column | equal to | within | found, at most |", "|---|---|---|---|"]
    for name, column in columns.items():
        own = [cell["apart"] for key, cell in cells.items() if key.split("/")[0] == name]
        within = f"{column['tolerance']:.0e}" if column["tolerance"] else "the same bits"
        worst = (f"{max(own):.0e}" if max(own) else "the same bits") if own else "–"
        rows.append(f"| {column['title']} | {column['against']} | {within} | {worst} |")
    return "\n".join(rows)


def _table(
    cells: Cells, columns: Mapping[str, Mapping[str, Any]], tuning: str, notes: dict[str, int]
) -> str:
    labels = list(dict.fromkeys(key.split("/")[2] for key in cells))
    rows = [
        "| defense | " + " | ".join(column["title"] for column in columns.values()) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for label in sorted(labels):
        shown = (_cell(cells.get(f"{name}/{tuning}/{label}"), notes) for name in columns)
        rows.append(f"| `{label}` | " + " | ".join(shown) + " |")
    return "\n".join(rows)


def _cell(cell: Mapping[str, Any] | None, notes: dict[str, int]) -> str:
    if cell is None:
        return "not run"
    if cell["state"] == "equal":
        return "equal"
    number = notes.setdefault(" ".join(cell["said"].split()), len(notes) + 1)
    return f"refused ({number})"
