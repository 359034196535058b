"""``holdfast bench --dry-run``: which cells a run would run, and which are done already."""

from pathlib import Path
from typing import Any

from holdfast.bench.bench import Bench, check_folder, published
from holdfast.bench.choice import ALL, Choice
from holdfast.bench.pool.runner import kept
from holdfast.results.records import PLAIN

__all__ = ["outlook"]


def outlook(
    bench: Bench, out: Path, choice: Choice = ALL
) -> tuple[str, list[dict[str, Any]], list[str]]:
    """Return how many cells are done in ``out``, in words; a row and a line for each.

    Raises:
        ConfigError: The folder is no bench's.
        InputError: A published folder's list of cells is damaged.
    """
    same = check_folder(bench, out, dry_run=True)
    listed = published(out)
    cells = choice.of(bench.cells)
    found = set(kept(cells, out).runs if listed is None else listed)
    if not same and listed is None:  # What an older holdfast kept may be of another model.
        found = {key for key in found if (out / "cells" / key).exists()}
    rows = [
        {"cell": cell.key, "defenses": cell.specs or PLAIN, **cell.point.knobs, "seed": cell.seed}
        | {"done": cell.key in found}
        for cell in cells
    ]
    lines = [
        f"{cell.key}  {cell.label}{'  (done)' if cell.key in found else ''}\n" for cell in cells
    ]
    done = sum(bool(row["done"]) for row in rows)
    told = f"{done} of {len(rows)} cells are done in {out}, {len(rows) - done} would run"
    if not same:
        told += " – in another folder: this one is of other cells"
    return told, rows, lines
