"""One cell is one run: it is tuned, measured, and kept in a folder of its own.

``cells/KEY/result.json`` appears whole or not at all and carries the SHA-256 of its content, so a
damaged one is found. What cells share stands in ``shared/``. A published cell is packed instead
(``packed.py``), and is as good as a whole one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.bench.cell.cell import Cell, key_of
from holdfast.bench.cell.earlier import earlier_settings
from holdfast.bench.cell.movement import moved
from holdfast.bench.cell.packed import PACKED, seal_of, sealed, unpacked
from holdfast.bench.cell.runs import examined, measured
from holdfast.bench.cell.stages import prepared, repaired
from holdfast.bench.subject.organism import as_examples
from holdfast.defense import listed
from holdfast.errors import InputError
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole
from holdfast.results.provenance import DataSource, fingerprint
from holdfast.results.records import SeedRun

__all__ = ["RunCell", "data_sources", "keep", "read", "result_file", "run_cell"]

RunCell = Callable[[Cell, Path], SeedRun]


def result_file(cell: Cell, out: Path) -> Path:
    """Return where the cell's result stands."""
    return out / "cells" / cell.key / "result.json"


def keep(cell: Cell, run: SeedRun, out: Path) -> None:
    """Write the cell's result, whole or not at all.

    Raises:
        RunError: The disk is full or the folder cannot be written.
    """
    content = {"settings": cell.settings, "run": run.model_dump(mode="json")}
    write_whole(result_file(cell, out), sealed(content))


def read(cell: Cell, out: Path) -> SeedRun | None:
    """Return the cell's result, whole or packed, or None if it has not run.

    Raises:
        InputError: The file is damaged, or is another cell's.
    """
    found = _found(result_file(cell, out))
    wanted = cell.settings if found else earlier_settings(cell)
    if not found and wanted is not None:
        found = _found(out / "cells" / key_of(wanted) / "result.json")
    return _read(found, wanted) if found else None


def _found(whole: Path) -> Path | None:
    """Return where a result stands, whole or packed."""
    return next((path for path in (whole, whole.with_name(PACKED)) if path.exists()), None)


def _read(path: Path, wanted: Mapping[str, Any] | None) -> SeedRun:
    try:
        document = unpacked(path) if path.name == PACKED else json_in(path)
        content = {"settings": document["settings"], "run": document["run"]}
        intact = document["sha256"] == seal_of(content)
        run = SeedRun.model_validate(content["run"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}); it runs again") from error
    settings = json.loads(json.dumps(wanted, default=str))
    if not intact or content["settings"] != settings:
        raise InputError(f"{path} is damaged (its content is not what was written); it runs again")
    return run


def run_cell(cell: Cell, out: Path) -> SeedRun:
    """Tune the model as the cell says, or leave it untouched, and measure it."""
    if cell.attack is None:
        return SeedRun.of(cell.seed, examined(*cell.subject.load(), cell.questions, cell.subject))
    ready = prepared(cell, out)
    tuned = repaired(ready, cell.seed)
    movement = moved(cell, tuned.model, out)
    return measured(
        tuned, cell.questions, cell.seed, movement, ready.diagnostics, subject=cell.subject
    )


def data_sources(cells: Sequence[Cell]) -> list[DataSource]:
    """Return the hash of everything that the cells read, each data set once."""
    found: dict[str, DataSource] = {}
    asked: set[str] = set()
    for cell in cells:
        items = f"{cell.split} questions, {cell.scenario}, {cell.items_per_kind} of a kind"
        if items not in found:
            found[items] = fingerprint(items, as_examples(cell.questions))
        at = cell.point
        user = f"user, {cell.scenario}, p={at.p:g}, {at.rows} rows, seed {cell.seed}"
        if cell.attack and user not in found:
            found[user] = fingerprint(user, listed(cell.user_rows))
        whose = f"{cell.scenario}, seed {cell.seed}, {_sizes(cell)}"
        if whose not in asked:
            asked.add(whose)
            for field, rows in cell.defender.items():
                found[f"{field}, {whose}"] = fingerprint(f"{field}, {whose}", listed(rows))
    return list(found.values())


def _sizes(cell: Cell) -> str:
    return f"{cell.defender_rows}/{cell.benign_rows}/{cell.validation_rows} rows"
