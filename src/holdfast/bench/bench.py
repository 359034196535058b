"""``holdfast bench``: a recipe's cells are run, and become one result, a table and a report."""

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.bench.arms import bench_arms, table_rows, write_table
from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.earlier import earlier_key
from holdfast.bench.cell.run_cell import RunCell, data_sources, run_cell
from holdfast.bench.choice import ALL, Choice
from holdfast.bench.pool.executors import opened
from holdfast.bench.pool.place import HERE, Place
from holdfast.bench.pool.runner import Outcome, kept, run_cells
from holdfast.bench.recipe.files import load_recipe, merged
from holdfast.bench.recipe.grid import expand
from holdfast.comparisons.costs import cost_rows
from holdfast.comparisons.exports import csv_text, write_bench_tables
from holdfast.comparisons.worst_case import summarize
from holdfast.errors import ConfigError, InputError
from holdfast.files.guarded.documents import json_in
from holdfast.files.nesting import refuse_in_model
from holdfast.files.outputs.locks import locked
from holdfast.files.outputs.places import check_folder as check_folder_at
from holdfast.files.outputs.processes import refuse_several
from holdfast.files.whole import write_whole
from holdfast.inputs.guards.network import local_only, offline_where_local, texts_in
from holdfast.progress import Progress
from holdfast.report.page import write_report
from holdfast.results.result import RunResult

__all__ = ["Bench", "check_folder", "owned", "plan", "published", "run_bench"]

LISTED = "cells.json"
"""Keys of the cells that the result is of: what stays where a result is published without them."""


@dataclass(frozen=True)
class Bench:
    """A checked recipe."""

    recipe: dict[str, Any]
    cells: list[Cell]
    command: str = "bench"
    """Which command its result is of."""

    @property
    def key(self) -> str:
        """Hash of all cells in order: what the folder belongs to."""
        return hashlib.sha256("\n".join(cell.key for cell in self.cells).encode()).hexdigest()


def plan(recipe: str, command: str = "bench", **changes: Any) -> Bench:
    """Read and check a recipe, with ``changes`` in place of what it says.

    Raises:
        ConfigError: See ``load_recipe`` and ``expand``.
    """
    settings = merged(load_recipe(recipe), changes, f"recipe {recipe}")
    with local_only(texts_in(settings)):
        return Bench(settings, expand(settings, f"recipe {recipe}"), command)


@offline_where_local
def run_bench(
    bench: Bench,
    out: Path,
    workers: int,
    progress: Progress = lambda *_: None,
    run: RunCell = run_cell,
    place: Place = HERE,
    choice: Choice = ALL,
) -> tuple[RunResult | None, Outcome]:
    """Run what is left of the bench in ``out``; return its result, None where every cell failed.

    Its result is of all cells in ``out`` that are done, whichever of them ``choice`` had run now.
    In a published folder, whose cells were not copied along with their result, nothing runs.

    Raises:
        ConfigError: The folder is another recipe's, holds something else, or is in use; the
            place cannot be reached, or has no room for a cell.
    """
    start, chosen = time.perf_counter(), choice.of(bench.cells)
    check_folder(bench, out)
    if (listed := published(out)) is not None:
        if len(listed) < len(bench.cells):
            raise ConfigError(
                f"`out={out}`: holds a result without its cells, and some of them failed: choose "
                "another folder"
            )
        return RunResult.load(out / "result.json"), Outcome(reused=len(listed))
    with opened(place) as where, owned(bench, out):
        outcome = run_cells(chosen, out, workers, progress, run, where, choice.until)
        now = set(map(id, chosen))
        before = kept([cell for cell in bench.cells if id(cell) not in now], out)
        outcome.runs |= before.runs
        outcome.warnings += before.warnings
        write_table(table_rows(bench.cells, outcome.runs), out)
        result = _result(bench, outcome, time.perf_counter() - start)
        if result is not None:
            _write(result, out)
            listed = [cell.key for cell in bench.cells if cell.key in outcome.runs]
            write_whole(out / LISTED, json.dumps(listed, indent=0) + "\n")
    return result, outcome


def published(out: Path) -> list[str] | None:
    """Return the keys of the cells that a result in ``out`` is of, where they are not with it.

    Raises:
        InputError: The list is damaged.
    """
    if (out / "cells").exists() or not (out / LISTED).exists():
        return None
    try:
        return [str(key) for key in json_in(out / LISTED)]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{out / LISTED} is damaged: expected a list of cells' keys") from error


def _result(bench: Bench, outcome: Outcome, seconds: float) -> RunResult | None:
    arms = bench_arms(bench.cells, outcome.runs)
    if not arms:
        return None
    labels = {cell.key: cell.label for cell in bench.cells}
    subject = bench.cells[0].subject
    failed = [f"failed: {labels[key]}: {why}" for key, why in outcome.failed.items()]
    if left := len(labels) - len(outcome.runs) - len(failed):
        failed.append(f"{left} of {len(labels)} cells have not run yet: the same recipe goes on")
    return RunResult.of(
        bench.command,
        arms,
        model=subject.name,
        real_model=subject.real,
        config=bench.recipe,
        data=data_sources(bench.cells),
        bench=summarize(arms),
        seconds=seconds,
        warnings=[*outcome.warnings, *failed],
    )


def _write(result: RunResult, out: Path) -> None:
    result.save(out / "result.json")
    if costs := cost_rows(result):
        write_whole(out / "cost.csv", csv_text(costs))
    if result.bench is not None:
        write_bench_tables(result.bench, out)
    write_report(result, out / "report.html")


@contextmanager
def owned(bench: Bench, out: Path) -> Generator[None]:
    """Hold the folder for this process; a lock ends with its process, however that ends."""
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"`out={out}`"):
        check_folder(bench, out)  # A bench of another recipe may have come since it was looked at.
        document = {"sha256": bench.key, "recipe": bench.recipe}
        write_whole(out / "recipe.json", json.dumps(document, indent=1) + "\n")
        yield


def check_folder(bench: Bench, out: Path, *, dry_run: bool = False) -> bool:
    """Return whether the bench can run in ``out``: it is new, empty, or has no cell but its own.

    Raises:
        ConfigError: It is no bench's folder or, but for a dry run, it has cells of another.
    """
    refuse_several()
    check_folder_at(out, "out", replaced=False)
    refuse_in_model(out, f"`out={out}`")
    held = out / "recipe.json"
    if not held.exists():
        others = [p.name for p in out.iterdir() if not _ours(p.name)] if out.exists() else []
        if others:
            raise ConfigError(
                f"`out={out}`: holds {others[0]!r}, which no bench wrote: choose another folder"
            )
        return True
    try:
        document = json_in(held)
        key, recipe = document["sha256"], dict(document.get("recipe") or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"`out={out}`: {held} is damaged: choose another folder") from error
    same = key == bench.key or _grown(bench, out, recipe.get("model"))
    if not same and not dry_run:
        raise ConfigError(
            f"`out={out}`: holds cells of another recipe (or an older holdfast): choose "
            "another folder, or give that recipe again"
        )
    return same


def _grown(bench: Bench, out: Path, model: object) -> bool:
    """Tell whether every cell that ``out`` holds is one of the bench's: its recipe got more.

    An older holdfast told less in a cell's key; the ``model`` was told by the folder's recipe.
    """
    cells = out / "cells"
    mine = {cell.key for cell in bench.cells}
    if model == bench.recipe.get("model"):
        mine |= {earlier_key(cell) for cell in bench.cells}
    return cells.is_dir() and {folder.name for folder in cells.iterdir()} <= mine


def _ours(name: str) -> bool:
    return name == ".lock" or name.startswith(".recipe.json.")
