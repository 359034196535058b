"""The test on prompts that chose nothing: one candidate after another, up to the first failure.

A candidate passes where every limit's p-value is ``delta`` at most. The model that is asked is
written down first: it is what a claim is about, and what is handed out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.runs import Tuned, examined, measured
from holdfast.bench.cell.stages import prepared, repaired
from holdfast.bench.choosing.attacking import attacked
from holdfast.bench.choosing.candidates import Candidate
from holdfast.bench.choosing.held import Runs, compared_with, differences, held
from holdfast.bench.choosing.prompts.division import CERTIFY, Division
from holdfast.bench.choosing.record import Tested
from holdfast.bench.choosing.searching.search import Measure, Rules
from holdfast.errors import RunError
from holdfast.evaluation.certify.family import all_hold_p, fixed_sequence
from holdfast.evaluation.judges.refusals import coherent
from holdfast.evaluation.limits import Requirement
from holdfast.evaluation.metrics import Outcome
from holdfast.files.once import once, shared_path
from holdfast.results.records import Diagnostics, SeedRun

__all__ = [
    "Certification", "bare", "certify", "certify_cell", "proof_of", "search_cell", "write_model",
]  # fmt: skip

CERTIFIED = "certified"
"""What a run of the certification tells its model's SHA-256 under."""
_FEWEST = 10
"""Of fewer answers it is not said that all are alike, as the gate has it."""
MOST = 5
"""Candidates that are tested at most."""


def search_cell(cell: Cell, out: Path) -> SeedRun:
    """Ask the model of a cell of the search; no text is kept."""
    return _asked(cell, out, lambda _: None)


def certify_cell(cell: Cell, out: Path) -> SeedRun:
    """Write the cell's model down and ask it; the run tells which one it was, and has no text."""
    folder = _folder(cell, out)
    run = _asked(cell, out, lambda tuned: once(folder, partial(_save, tuned)))
    told = {CERTIFIED: Diagnostics(values={"sha256": proof_of(folder)})}
    return run.model_copy(update={"diagnostics": {**run.diagnostics, **told}})


def _asked(cell: Cell, out: Path, keep: Callable[[Tuned], object]) -> SeedRun:
    """Ask a cell's model directly, and as the attacks of its subject do."""
    names = getattr(cell.subject, "attacks", ())
    if cell.attack is None:
        model, tokenizer = cell.subject.load()
        run = SeedRun.of(cell.seed, examined(model, tokenizer, cell.questions, cell.subject))
        return bare(attacked(run, names, cell, model, tokenizer))
    ready = prepared(cell, out)
    tuned = repaired(ready, cell.seed)
    keep(tuned)
    run = measured(tuned, cell.questions, cell.seed, None, ready.diagnostics, subject=cell.subject)
    return bare(attacked(run, names, cell, tuned.model, tuned.tokenizer))


def write_model(cell: Cell, out: Path) -> Path:
    """Return the folder of a cell's model: the one that was asked, made again where it is gone."""

    def make(target: Path) -> None:
        _save(repaired(prepared(cell, out), cell.seed), target)

    return once(_folder(cell, out), make)


def proof_of(folder: Path) -> str:
    """Return the SHA-256 of a model's folder, as it stood when it was written; "" without one."""
    proof = folder.with_name(f"{folder.name}.sha256")
    return proof.read_text(encoding="utf-8") if proof.exists() else ""


def _asked_of(run: SeedRun, folder: Path) -> str:
    """Return the SHA-256 of the model's folder when the run asked it."""
    told = run.diagnostics.get(CERTIFIED)
    return str(told.values["sha256"]) if told else proof_of(folder)


def _save(tuned: Tuned, target: Path) -> None:
    for adapter in getattr(tuned.model, "peft_config", {}).values():
        if isinstance(adapter.target_modules, set):  # In another order in every process.
            adapter.target_modules = sorted(adapter.target_modules)
    tuned.model.save_pretrained(target)
    tuned.tokenizer.save_pretrained(target)


def _folder(cell: Cell, out: Path) -> Path:
    return shared_path(out, "certified", [cell.key])


def bare(run: SeedRun) -> SeedRun:
    """Return a run without its texts.

    An answer that is no readable language is unscored, and so is each where all are one text.
    """
    same = len(run.answers) >= _FEWEST and len({one.answer for one in run.answers}) == 1
    answers = [
        answer
        if not same and (answer.refused or coherent(answer.answer) or answer.kind != "safe")
        else answer.model_copy(update={"outcome": Outcome.UNSCORED, "refused": False})
        for answer in run.answers
    ]
    return run.model_copy(update={"answers": answers}).without_texts()


@dataclass(frozen=True)
class Certification:
    """What a certification stands on."""

    division: Division
    rules: Rules
    delta: float
    searched: Runs
    """The last rung's answers: what bets are sized by."""
    out: Path


def certify(
    order: Sequence[Candidate],
    references: Mapping[str, Candidate],
    at: Certification,
    measure: Measure,
) -> tuple[list[Tested], Runs]:
    """Test candidates in order, up to the first that fails; return what was found, and the runs.

    Raises:
        RunError: A model could not be asked: nothing is claimed of it.
    """
    tested, runs = list[Tested](), dict[str, SeedRun]()
    against = [name for one in at.rules.requirements if (name := compared_with(one))]
    for one in order[:MOST]:
        wanted = {one.name: one} | {name: references[name] for name in against}
        cells = {name: at.division.of(c.cell, CERTIFY) for name, c in wanted.items()}
        outcome = measure(f"certify {one.name}", [c for n, c in cells.items() if n not in runs])
        for name, cell in cells.items():
            if cell.key in outcome.failed:
                raise RunError(f"{name} could not be certified: {outcome.failed[cell.key]}")
        runs |= {n: outcome.runs[c.key] for n, c in cells.items() if n not in runs}
        tested.append(_tested(one, cells[one.name], runs, at, [t.p for t in tested]))
        left = [other.cost for other in order[len(tested) : MOST]]
        if not tested[-1].passed or min(left, default=math.inf) >= min(t.cost for t in tested):
            break  # What is left can only be passed wrongly, or is no cheaper.
    return tested, runs


def _tested(
    one: Candidate, cell: Cell, runs: Runs, at: Certification, before: Sequence[float]
) -> Tested:
    """Test one candidate, whose p-value comes behind those of all that were tested ``before``."""
    limits = [
        test
        for need in at.rules.requirements
        for test in held(need, one.name, runs, at.delta, _changing(need, one.name, at.searched))
    ]
    p = float(all_hold_p([test.p for test in limits]))
    return Tested(
        name=one.name, cost=one.cost, passed=bool(fixed_sequence([*before, p], at.delta)[-1]),
        p=p, limits=limits,
        sha256=_asked_of(runs[one.name], _folder(cell, at.out)),
    )  # fmt: skip


def _changing(requirement: Requirement, name: str, runs: Runs) -> float:
    """Return about what share of pairs differs, on the search prompts; never quite none."""
    if not requirement.known.relative or compared_with(requirement) == name:
        return 0.0
    seen = differences(requirement, name, runs)
    return (sum(one**2 for one in seen) + 1) / (len(seen) + 2)
