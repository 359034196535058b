"""Run a bench's cells in a pool of processes; done cells stay done, failed ones stop no other.

At most one cell per worker is in flight. When a worker dies the pool breaks and does not say whose
cell it was: each cell in flight runs once more, alone, and the one that kills its worker again has
failed.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for
from pathlib import Path

import torch

from holdfast.bench.cells import RunCell, keep, read, run_cell
from holdfast.bench.failures import as_run_error
from holdfast.bench.grid import Cell
from holdfast.bench.quiet import quiet
from holdfast.errors import InputError
from holdfast.report.records import SeedRun

__all__ = ["Outcome", "run_cells"]

Progress = Callable[[str, int, int], None]
DIED = "its worker died twice (killed, or out of memory); lower --workers or the cell's size"


@dataclass
class Outcome:
    """What became of the cells."""

    runs: dict[str, SeedRun] = field(default_factory=dict[str, SeedRun])
    """By the cell's key."""
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Key → reason."""
    reused: int = 0
    """Cells that an earlier start had done."""
    warnings: list[str] = field(default_factory=list[str])
    """Damaged results that were found, and workers that died."""


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    workers: int,
    progress: Progress = lambda *_: None,
    run: RunCell = run_cell,
) -> Outcome:
    """Run the cells that ``out`` does not hold yet.

    Args:
        cells: What to run; started in this order.
        out: The bench's folder.
        workers: Processes with one thread each.
        progress: Called with (stage, done, in all).
        run: Gives one cell's run; a function of a module, so that a new process finds it.
    """
    outcome = Outcome()
    todo = [cell for cell in cells if not _done(cell, out, outcome)]
    outcome.reused = len(outcome.runs)
    progress("cells", len(outcome.runs), len(cells))

    def tick() -> None:
        progress("cells", len(outcome.runs) + len(outcome.failed), len(cells))

    waiting = deque(todo)
    while waiting:
        suspects = _until_broken(waiting, out, workers, run, outcome, tick)
        for cell in suspects:
            outcome.warnings.append(f"a worker died; {cell.label} ran again alone")
            if _until_broken(deque([cell]), out, 1, run, outcome, tick):
                outcome.failed[cell.key] = DIED
                tick()
    return outcome


def _done(cell: Cell, out: Path, outcome: Outcome) -> bool:
    """Take the cell's result if it is there and whole."""
    try:
        found = read(cell, out)
    except InputError as error:
        outcome.warnings.append(str(error))
        return False
    if found is not None:
        outcome.runs[cell.key] = found
    return found is not None


def _until_broken(
    waiting: deque[Cell],
    out: Path,
    workers: int,
    run: RunCell,
    outcome: Outcome,
    tick: Callable[[], None],
) -> list[Cell]:
    """Run cells until none waits or a worker dies; return the cells that were then in flight."""
    context = multiprocessing.get_context("spawn")
    flying: dict[Future[None], Cell] = {}
    lost: list[Cell] = []
    broken = False
    with ProcessPoolExecutor(max(1, workers), context, _start_worker) as pool:
        try:
            while flying or (waiting and not broken):
                while waiting and not broken and len(flying) < workers:
                    cell = waiting.popleft()
                    try:
                        flying[pool.submit(_work, cell, out, run)] = cell
                    except BrokenProcessPool:  # Between two looks; this cell was never begun.
                        waiting.appendleft(cell)
                        broken = True
                ready, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in ready:
                    cell = flying.pop(future)
                    broken = broken or isinstance(future.exception(), BrokenProcessPool)
                    if not _ended(future, cell, out, outcome):
                        lost.append(cell)
                    tick()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return lost


def _ended(future: Future[None], cell: Cell, out: Path, outcome: Outcome) -> bool:
    """Note what became of a cell; False where its worker died without leaving a result."""
    error = future.exception()
    if error is None or isinstance(error, BrokenProcessPool):
        if _done(cell, out, outcome):
            return True
        if error is not None:
            return False
        outcome.failed[cell.key] = "its result was damaged right after it was written"
        return True
    known = as_run_error(error, "start the same command again")
    outcome.failed[cell.key] = str(known) if known else f"{type(error).__name__}: {error}"
    return True


def _work(cell: Cell, out: Path, run: RunCell) -> None:
    keep(cell, run(cell, out), out)


def _start_worker() -> None:
    torch.set_num_threads(1)
    quiet()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker when the bench is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
