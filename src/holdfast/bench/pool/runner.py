"""Run a bench's cells in a pool of workers; done cells stay done, failed ones stop no other.

At most one cell per worker is in flight. A cell whose worker dies runs once more, and has failed
when its worker dies again. A pool of processes breaks with one of them and does not say whose cell
it was: there, each cell that was in flight runs again alone.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.run_cell import RunCell, keep, read, result_file, run_cell
from holdfast.bench.pool.local import LOCAL, Executor, Pool
from holdfast.errors import InputError
from holdfast.progress import Progress
from holdfast.results.records import SeedRun
from holdfast.training.failures import as_run_error

__all__ = ["Outcome", "kept", "run_cells"]

DIED = "its worker died twice (killed, or out of memory); lower `workers` or the cell's size"
DAMAGED = "its result was damaged right after it was written"
ELSEWHERE = (
    "its worker sees another folder than this one: `out` must be a folder that all nodes see"
)
LOST = (
    "its worker kept no result here: `out` must be a folder that all nodes see, and holdfast, the "
    "organism and what defenses name must stay as they were when the bench began"
)


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
    """Damaged results that were found, workers that died, and what is to be told of the place."""


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    workers: int,
    progress: Progress = lambda *_: None,
    run: RunCell = run_cell,
    executor: Executor = LOCAL,
    until: float = math.inf,
) -> Outcome:
    """Run the cells that ``out`` does not hold yet.

    Args:
        cells: What to run; started in this order.
        out: The bench's folder, which every worker sees.
        workers: How many cells are in flight at most, one thread each.
        progress: Called with (stage, done, in all).
        run: Gives one cell's run; a function of a module, so that a new process finds it.
        executor: Where the workers are.
        until: When no further cell begins, in seconds of ``time.monotonic``.
    """
    outcome = kept(cells, out)
    outcome.warnings += executor.notes
    todo = [cell for cell in cells if cell.key not in outcome.runs]

    def tick() -> None:
        progress("cells", len(outcome.runs) + len(outcome.failed), len(cells))

    tick()
    flight = _Flight(out.absolute(), workers, run, executor, outcome, tick, until)
    waiting = deque(todo)
    while waiting:
        lost = flight.until_broken(waiting)
        for again in [lost] if executor.tells_who else [[cell] for cell in lost]:
            flight.once_more(again)
    return outcome


def kept(cells: Sequence[Cell], out: Path) -> Outcome:
    """Return what an earlier start has done of these cells."""
    outcome = Outcome()
    outcome.reused = sum(_done(cell, out, outcome) for cell in cells)
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


@dataclass
class _Flight:
    """Cells on their way through one executor."""

    out: Path
    workers: int
    run: RunCell
    executor: Executor
    outcome: Outcome
    tick: Callable[[], None]
    until: float

    def once_more(self, lost: Sequence[Cell]) -> None:
        """Run cells whose worker died again; those that lose it again have failed."""
        for cell in lost:
            self.outcome.warnings.append(f"a worker died; {cell.label} ran again")
        for cell in self.until_broken(deque(lost)):
            self.outcome.failed[cell.key] = DIED
            self.tick()

    def until_broken(self, waiting: deque[Cell]) -> list[Cell]:
        """Run cells until none waits or the pool breaks; return those that lost their worker."""
        flying: dict[Future[str | None], Cell] = {}
        lost: list[Cell] = []
        whole = True
        if not waiting:
            return lost
        with self.executor.pool(min(self.workers, len(waiting))) as pool:
            while flying or (waiting and whole):
                whole = whole and self._fill(pool, waiting, flying)
                ready, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in ready:
                    cell = flying.pop(future)
                    if isinstance(future.exception(), BrokenExecutor):
                        whole = whole and self.executor.tells_who
                    if self._ended(future, cell):
                        self.tick()
                    else:
                        lost.append(cell)
        return lost

    def _fill(
        self, pool: Pool, waiting: deque[Cell], flying: dict[Future[str | None], Cell]
    ) -> bool:
        """Give every worker a cell; False where the pool broke since the last look.

        When the time is over none waits any more: what is left is for a later start.
        """
        if time.monotonic() > self.until:
            waiting.clear()
        while waiting and len(flying) < self.workers:
            try:
                future = pool.submit(_work, waiting[0], self.out, self.run)
            except BrokenExecutor:  # This cell was never begun.
                return False
            flying[future] = waiting.popleft()
        return True

    def _ended(self, future: Future[str | None], cell: Cell) -> bool:
        """Note what became of a cell; False where its worker died without leaving a result."""
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            return _done(cell, self.out, self.outcome)
        why = future.result() if error is None else _reason(error)
        if why is None and not _done(cell, self.out, self.outcome):
            there = result_file(cell, self.out).exists()
            why = DAMAGED if there else LOST
        if why is not None:
            self.outcome.failed[cell.key] = why
        return True


def _work(cell: Cell, out: Path, run: RunCell) -> str | None:
    """Run and keep a cell; return why it failed: not every error outlives its own process."""
    if not out.is_dir():  # Before a cell's hours, not after them.
        return ELSEWHERE
    try:
        keep(cell, run(cell, out), out)
    except Exception as error:  # noqa: BLE001  # A cell's failure stops no other cell.
        return _reason(error)
    return None


def _reason(error: BaseException) -> str:
    known = as_run_error(error, "start the same command again")
    return str(known) if known else f"{type(error).__name__}: {error}"
