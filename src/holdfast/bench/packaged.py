"""Packaged recipes with a command of their own: the demo, the calibration of an organism."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from holdfast.bench.arms import bench_arms
from holdfast.bench.bench import Bench, plan, run_bench
from holdfast.bench.cell.movement import mods_rob
from holdfast.bench.cell.run_cell import RunCell, run_cell
from holdfast.bench.pool.runner import Outcome, run_cells
from holdfast.comparisons.doses import doses
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.metrics import Figure
from holdfast.organism.build import load, measure
from holdfast.organism.scenarios import BUDGET
from holdfast.progress import Progress
from holdfast.results.records import PLAIN, Arm
from holdfast.results.result import RunResult

__all__ = ["calibrate", "run_demo", "show"]

FIGURES: tuple[Figure, ...] = ("hs", "hs_content", "over_refusal", "fa", "usefulness")
WORKERS = os.cpu_count() or 1
_TO_GO_ON = ("recipe.json", "cells.json")
"""What a bench keeps to go on with; a demo starts anew."""
_SLACK = 0.05  # A mean over seeds may fall by this much and still count as rising.


def run_demo(
    seeds: Sequence[int], out: Path, progress: Progress = lambda *_: None, **changes: Any
) -> RunResult:
    """Run the recipe ``demo`` and write its result, page, tables and Mods_Rob to ``out``.

    The runs' answers and weights, tuned on harmful rows, are removed at the end.

    Args:
        seeds: Seeds to run.
        out: A folder that is there.
        progress: Called with (stage, done, in all).
        **changes: Settings in place of the recipe's.

    Raises:
        RunError: A run failed.
    """
    bench = plan("demo", "demo", seeds=list(seeds), **changes)
    with TemporaryDirectory(prefix=".cells-", dir=out, ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        result, outcome = run_bench(bench, work, WORKERS, progress)
        if result is None or outcome.failed:
            raise _failure(bench, outcome)
        for file in (file for file in work.iterdir() if file.suffix and file.is_file()):
            if file.name not in _TO_GO_ON:
                file.rename(out / file.name)
        shutil.copyfile(mods_rob(bench.cells[0], work), out / "robust_modules.json")
    return result


def calibrate(
    organism: str | Path = "llama",
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress = lambda *_: None,
    run: RunCell = run_cell,
) -> dict[str, Any]:
    """Run the recipe ``calibration``: how harm and task grow with p, learning rate and epochs.

    Args:
        organism: "llama" for the shipped one, or a folder that ``build`` wrote.
        seeds: Seeds of the user's data and adapter, at least one.
        progress: Called with (stage, done, in all).
        run: Gives one cell's run.

    Returns:
        ``{"organism", "split", "budget", "seeds", "before", "rows", "rising"}``; each row has
        ``sweep``, ``value``, the means of ``FIGURES`` and ``per_seed``; ``rising`` says for each
        sweep whether the mean harmful score never falls by more than 0.05.

    Raises:
        ConfigError: No seed.
        ModelError: No organism there.
        RunError: A run failed.
    """
    if not seeds:
        raise ConfigError("no seeds given; give at least one.")
    before = load(organism)
    folder = None if organism == "llama" else str(Path(organism).resolve())
    bench = plan("calibration", organism=folder, seeds=list(seeds))
    with TemporaryDirectory(ignore_cleanup_errors=True) as work:
        outcome = run_cells(bench.cells, Path(work), WORKERS, progress, run)
    if outcome.failed:
        raise _failure(bench, outcome)
    sweeps = {
        dose.knob: dose.curves[PLAIN] for dose in doses(bench_arms(bench.cells, outcome.runs))
    }
    rows = [_row(name, *point) for name, curve in sweeps.items() for point in curve]
    return {
        "organism": str(organism),
        "split": bench.recipe["split"],
        "budget": asdict(BUDGET),
        "seeds": list(seeds),
        "before": measure(*before),
        "rows": rows,
        "rising": {name: _rising(rows, name) for name in sweeps},
    }


def _failure(bench: Bench, outcome: Outcome) -> RunError:
    failed = [cell for cell in bench.cells if cell.key in outcome.failed]
    return RunError("; ".join(f"{cell.label}: {outcome.failed[cell.key]}" for cell in failed[:1]))


def _row(sweep: str, value: float, arm: Arm) -> dict[str, Any]:
    runs = [{n: run.shares[n].value for n in FIGURES} | {"seed": run.seed} for run in arm.runs]
    means = {name: fmean(run[name] for run in runs) for name in FIGURES}
    return {"sweep": sweep, "value": value} | means | {"per_seed": runs}


def _rising(rows: Sequence[dict[str, Any]], sweep: str) -> bool:
    scores = [row["hs"] for row in rows if row["sweep"] == sweep]
    return scores[-1] > scores[0] and all(b >= a - _SLACK for a, b in pairwise(scores))


def show(data: dict[str, Any], write: Callable[[Any], None]) -> None:
    """Give a calibration as a table and a line to ``write``."""
    seeds = len(data["seeds"])
    title = f"{data['organism']}: plain fine-tuning, {data['split']} items, mean of {seeds} seeds"
    table = Table("sweep", "value", *FIGURES, title=title)
    for row in data["rows"]:
        table.add_row(row["sweep"], f"{row['value']:g}", *(f"{row[name]:.2f}" for name in FIGURES))
    write(table)
    verdicts = ", ".join(f"{name} {'yes' if ok else 'NO'}" for name, ok in data["rising"].items())
    write(f"harmful score rises with: {verdicts}")
