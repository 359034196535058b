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

from holdfast.bench.bench import Bench, check_folder, owned
from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.run_cell import RunCell
from holdfast.bench.choosing.candidates import Field
from holdfast.bench.choosing.certifying import (
    Certification,
    certify,
    certify_cell,
    proof_of,
    search_cell,
    write_model,
)
from holdfast.bench.choosing.division import CERTIFY, SEARCH, Division, divided
from holdfast.bench.choosing.held import Runs
from holdfast.bench.choosing.record import ChooseResult, Tested
from holdfast.bench.choosing.search import Rules, Searched, refuse_budget, search
from holdfast.bench.choosing.settle import refuse_too_few, settles
from holdfast.bench.choosing.statement import nothing_passed, scope_of, statement_of
from holdfast.bench.pool.local import LOCAL, Executor
from holdfast.bench.pool.runner import Outcome, run_cells
from holdfast.errors import ConfigError, RunError
from holdfast.files.whole import write_whole
from holdfast.inputs.guards.network import offline_where_local
from holdfast.progress import Progress, silent
from holdfast.results.provenance import versions

__all__ = ["RESULT", "Choosing", "How", "choose", "prepared_choice"]

RESULT = "choose.json"
CHOSEN = "model"


@dataclass(frozen=True)
class Choosing:
    """A checked choice: nothing has run yet."""

    field: Field
    rules: Rules
    division: Division
    delta: float

    @property
    def bench(self) -> Bench:
        """What the folder belongs to."""
        cells = [self.division.of(one.cell, SEARCH) for one in self.field.candidates]
        return Bench(self.field.recipe, cells, "choose")

    def counts(self, part: str) -> dict[str, int]:
        """Return how many questions of each kind a part has."""
        return self.division.counts(part, self.field.plain.cell)


@dataclass(frozen=True)
class How:
    """What runs a cell of the search and one of the certification: functions of a module."""

    search: RunCell = search_cell
    certify: RunCell = certify_cell
    write: Callable[[Cell, Path], Path] = write_model
    """Writes the model of a cell of the certification, once, and returns its folder."""
    executor: Executor = LOCAL


REALLY = How()


def prepared_choice(field: Field, rules: Rules) -> Choosing:
    """Divide the prompts and check that a claim can come of it.

    Raises:
        ConfigError: No limit is given, the confidence is none, the budget is too small, or a limit
            cannot pass on so few prompts.
    """
    if not rules.requirements:
        raise ConfigError("`require` is missing: name at least one limit, such as hs<=.05")
    if not 0 < rules.confidence < 1:
        raise ConfigError(
            f"`confidence={rules.confidence:g}` is out of range, expected above 0 and below 1"
        )
    refuse_budget(field, rules)
    found = Choosing(
        field, rules, divided(field.plain.cell, rules.seed), round(1 - rules.confidence, 12)
    )
    refuse_too_few(rules.requirements, found.counts(CERTIFY), found.delta)
    return found


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
        ConfigError: The folder is another recipe's or in use.
        RunError: A reference failed, or a model could not be asked.
    """
    start = time.perf_counter()
    check_folder(given.bench, out)
    with owned(given.bench, out):
        note = partial(_noted, out / "choose.log", say)
        measure = _Runner(out, workers, progress, note, how.executor).measure
        searched = search(given.field, given.division, given.rules, partial(measure, how.search))
        for line in _rung_lines(searched):
            note(line)
        tested, asked = certify(
            searched.order,
            {one.name: one for one in given.field.candidates},
            Certification(given.division, given.rules, given.delta, searched.runs, out),
            partial(measure, how.certify),
        )
        result = _result(given, searched, tested, asked)
        result = result.model_copy(update={"seconds": time.perf_counter() - start})
        _hand_out(given, result, out, how.write)
        write_whole(out / RESULT, result.model_dump_json(indent=1) + "\n")
        note(result.statement)
    return result


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
    """Return a line of each rung: who stayed."""
    lines = [
        f"after {rung.steps} steps ({rung.spent:.1f} plain runs): "
        f"{', '.join(one.name for one in rung.entries if one.kept)} stay"
        for rung in searched.rungs[:-1]
    ]
    return [*lines, f"to be tested in this order: {', '.join(one.name for one in searched.order)}"]


def _result(
    given: Choosing, searched: Searched, tested: Sequence[Tested], asked: Runs
) -> ChooseResult:
    passed = [one for one in tested if one.passed]
    chosen = min(passed, key=lambda one: one.cost) if passed else None
    rules, needs = given.rules, given.rules.requirements
    said = (
        statement_of(chosen, needs, rules.confidence)
        if chosen
        else nothing_passed(tested, needs, rules.confidence)
    )
    by_name = {one.name: one for one in given.field.candidates}
    missing = (
        [] if chosen or not tested
        else settles(tested[-1], needs, by_name[tested[-1].name], given.delta)
    )  # fmt: skip
    any_run = next(iter(asked.values()), None)
    judge, decoding = (any_run.judge, any_run.decoding) if any_run else ("", {})
    counts = given.counts(CERTIFY)
    return ChooseResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=given.field.plain.cell.subject.name,
        recipe=given.field.recipe,
        requirements=[str(one) for one in needs],
        confidence=rules.confidence,
        delta=given.delta,
        budget=rules.budget,
        spent=searched.spent,
        split_seed=rules.seed,
        search=given.counts(SEARCH),
        certify=counts,
        left_out=given.division.left_out,
        prompts=given.division.named(CERTIFY),
        judge=judge,
        decoding=decoding,
        candidates={one.name: one.cost for one in given.field.candidates},
        rungs=searched.rungs,
        order=[one.name for one in searched.order],
        tested=list(tested),
        chosen=chosen and chosen.name,
        statement=said,
        scope=scope_of(counts, judge, decoding, given.field.plain.cell.seed),
        settles=missing,
        warnings=list(given.field.notes),
        versions=versions(),
    )


def _hand_out(
    given: Choosing, result: ChooseResult, out: Path, write: Callable[[Cell, Path], Path]
) -> None:
    """Copy the chosen model, and no other, to where people look for it.

    Raises:
        RunError: It is not the one that was asked.
    """
    shutil.rmtree(out / CHOSEN, ignore_errors=True)
    one = next((c for c in given.field.candidates if c.name == result.chosen), None)
    if one is None or one.cell.attack is None:
        return
    source = write(given.division.of(one.cell, CERTIFY), out)
    tested = next(test.sha256 for test in result.tested if test.name == one.name)
    if proof_of(source) != tested:
        raise RunError(
            f"{source} is not the model that was certified: it was changed, and made again it "
            "differs: nothing is handed out; choose in a new folder"
        )
    copy = out / f".{CHOSEN}.partial"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    copy.replace(out / CHOSEN)
