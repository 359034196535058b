"""``holdfast choose``: a defense is chosen under limits, and certified on prompts set apart.

Everything a run needs to go on is in the bench's cells: the same command in the same folder takes
what is done and goes on, and comes to the same ``choose.json``.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from holdfast.bench.bench import check_folder, owned
from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.run_cell import RunCell
from holdfast.bench.choosing.certifying import (
    Certification,
    certify,
    certify_cell,
    proof_of,
    search_cell,
    write_model,
)
from holdfast.bench.choosing.prepared import Choosing
from holdfast.bench.choosing.prompts.division import CERTIFY, PROBE
from holdfast.bench.choosing.prompts.looks import Looks, ledger_of
from holdfast.bench.choosing.record import ChooseResult
from holdfast.bench.choosing.searching.leaning import leaning_cell, openings_of
from holdfast.bench.choosing.searching.search import Measure, Searched, search
from holdfast.bench.choosing.statement import look_line
from holdfast.bench.choosing.summary import Certified, result_of
from holdfast.bench.pool.local import LOCAL, Executor
from holdfast.bench.pool.runner import Outcome, run_cells
from holdfast.errors import InputError, RunError
from holdfast.files.whole import write_whole
from holdfast.inputs.guards.network import offline_where_local
from holdfast.progress import Progress, silent

__all__ = ["CHOSEN", "REALLY", "RESULT", "How", "choose"]

RESULT = "choose.json"
LOG = "choose.log"
CHOSEN = "model"


@dataclass(frozen=True)
class How:
    """What runs a cell of the search and one of the certification: functions of a module."""

    search: RunCell = search_cell
    certify: RunCell = certify_cell
    write: Callable[[Cell, Path], Path] = write_model
    """Writes the model of a cell of the certification, once, and returns its folder."""
    executor: Executor = LOCAL
    probe: RunCell | None = leaning_cell
    """Probes a cell of an early rung; None lets it answer."""


REALLY = How()


@offline_where_local
def choose(
    given: Choosing,
    out: Path,
    workers: int = 2,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda _: None,
    how: How = REALLY,
) -> ChooseResult:
    """Search, certify, and write ``choose.json``, ``choose.log`` and the chosen model to ``out``.

    Args:
        given: From ``prepared_choice``.
        out: A new folder, or one in which the same recipe was stopped.
        workers: Cells at a time.
        progress: Told of the cells of each rung.
        say: Takes one line of what happened.
        how: What runs a cell, and where.

    Raises:
        ConfigError: The folder is another recipe's or in use; the ledger cannot be written.
        InputError: The ledger is damaged.
        RunError: A reference failed, or a model could not be asked.
    """
    start = time.perf_counter()
    check_folder(given.bench, out)
    _looks(given, out).check()
    with owned(given.bench, out):
        note = partial(_noted, out / LOG, say)
        measure = _Runner(out, workers, progress, note, how.executor).measure
        probe = partial(measure, how.probe) if how.probe and _probed(given, out, note) else None
        searched = search(
            given.field, given.division, given.rules, partial(measure, how.search), probe
        )
        for line in _rung_lines(searched):
            note(line)
        certified = _certified(given, searched, out, partial(measure, how.certify), note)
        result = result_of(given, searched, certified, time.perf_counter() - start)
        _hand_out(given, result, out, how.write)
        write_whole(out / RESULT, result.model_dump_json(indent=1) + "\n")
        _noted(out / LOG, lambda _: None, result.statement)
    return result


def _looks(given: Choosing, out: Path) -> Looks:
    """Return the looks at the certification prompts of this choice."""
    asked = given.division.of(given.field.plain.cell, CERTIFY).questions
    return Looks(ledger_of(given.field.source, out), asked, given.delta)


def _certified(
    given: Choosing, searched: Searched, out: Path, measure: Measure, note: Callable[[str], None]
) -> Certified:
    """Test the survivors in their order at what this look may spend; the ledger has the look."""
    looks, of = _looks(given, out), given.identity(searched)
    number, delta = looks.begin(of)
    note(look_line(number, delta, looks.path))
    tested, asked = certify(
        searched.order,
        {one.name: one for one in given.field.candidates},
        Certification(given.division, given.rules, delta, searched.runs, out),
        measure,
    )
    looks.end(of, {one.name: "pass" if one.passed else "not shown" for one in tested})
    return Certified(tested, asked, number, delta)


def _probed(given: Choosing, out: Path, note: Callable[[str], None]) -> bool:
    """Return whether early rungs can be probed; where not, they answer, and it is said."""
    try:
        openings_of(given.division.of(given.field.plain.cell, PROBE), out)
    except InputError as error:
        note(f"early rungs answer the search prompts and are not probed: {error}")
        return False
    return True


@dataclass(frozen=True)
class _Runner:
    """Runs cells in the folder, and tells of it."""

    out: Path
    workers: int
    progress: Progress
    note: Callable[[str], None]
    executor: Executor

    def measure(self, run: RunCell, stage: str, cells: Sequence[Cell]) -> Outcome:
        """Run the cells of one stage."""

        def told(_: str, done: int, total: int, said: str = "", /) -> None:
            self.progress(stage, done, total, said)

        found = run_cells(cells, self.out, self.workers, told, run, self.executor)
        self.note(f"{stage}: {len(found.runs)} of {len(cells)} runs, {found.reused} done before")
        for warning in found.warnings:
            self.note(f"warning: {warning}")
        return found


def _noted(log: Path, say: Callable[[str], None], line: str) -> None:
    say(line)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")


def _rung_lines(searched: Searched) -> list[str]:
    """Return a line of each candidate whose run failed, and of each rung: who stayed."""
    lines = [
        f"after {rung.steps} steps ({rung.spent:.1f} plain runs): "
        f"{', '.join(one.name for one in rung.entries if one.kept)} stay"
        for rung in searched.rungs[:-1]
    ]
    return [
        *searched.lost,
        *lines,
        f"to be tested in this order: {', '.join(one.name for one in searched.order)}",
    ]


def _hand_out(
    given: Choosing, result: ChooseResult, out: Path, write: Callable[[Cell, Path], Path]
) -> None:
    """Copy the chosen model, and no other, to where people look for it.

    The earlier record goes with the model that it is of, once there is another to take its place.

    Raises:
        RunError: It is not the one that was asked.
    """
    one = next((c for c in given.field.candidates if c.name == result.chosen), None)
    copy = out / f".{CHOSEN}.partial"
    shutil.rmtree(copy, ignore_errors=True)
    if one is not None and one.cell.attack is not None:
        source = write(given.division.of(one.cell, CERTIFY), out)
        tested = next(test.sha256 for test in result.tested if test.name == one.name)
        if proof_of(source) != tested:
            raise RunError(
                f"{source} is not the model that was certified: it was changed, and made again it "
                "differs: nothing is handed out; choose in a new folder"
            )
        shutil.copytree(source, copy)
    (out / RESULT).unlink(missing_ok=True)
    shutil.rmtree(out / CHOSEN, ignore_errors=True)
    if copy.exists():
        copy.replace(out / CHOSEN)
