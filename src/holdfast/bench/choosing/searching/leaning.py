"""What an early rung looks at: the lead on harmful prompts and the loss of the task, no answers.

Harm that is answered late is seen early in the lead: how far a model leans to refusing, in nats per
token (``holdfast.evaluation.drift``). The openings are the untouched model's own; the prompts are
those of the search, and none of them certifies.
"""

import json
from pathlib import Path
from typing import Any

from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.stages import prepared, repaired
from holdfast.defense import listed
from holdfast.errors import DataError
from holdfast.evaluation.drift import Openings, find_openings, lead, probe_ids, refused_by
from holdfast.evaluation.drift.probes import answer_ids
from holdfast.evaluation.drift.scores import paired_scores
from holdfast.files.guarded.documents import json_in
from holdfast.files.once import once, shared_path
from holdfast.inputs.judging import refusal_judge
from holdfast.results.records import Diagnostics, SeedRun

__all__ = ["leaning_cell", "openings_of", "read_leaning"]

LEANING = "leaning"
PROBED = 64
"""The defender's rows of each kind that openings are found on; ours."""


def openings_of(cell: Cell, out: Path) -> Openings:
    """Return how the untouched model refuses and agrees, found once for the folder.

    Raises:
        DataError: The defender has no harmful or no harmless rows.
        ModelError: The model has no refusals to lose.
    """

    def make(target: Path) -> None:
        rows = cell.defender
        if lacking := [name for name in ("harmful", "benign") if name not in rows]:
            raise DataError(f"openings are found on the defender's rows, and {lacking[0]} has none")
        model, tokenizer = cell.subject.load()
        harmful, harmless = (listed(rows[name])[:PROBED] for name in ("harmful", "benign"))
        asked, beside = (
            [probe_ids(r["prompt"], tokenizer) for r in e] for e in (harmful, harmless)
        )
        agreeing = [answer_ids(row, tokenizer) for row in harmful]
        refused = refused_by(refusal_judge(cell.subject.name), harmful)
        found = find_openings(model, tokenizer, asked, beside, agreeing, refused)
        target.write_text(json.dumps(found.as_json()), encoding="utf-8")

    made_of = [cell.subject.made_by(), cell.defender_rows, cell.benign_rows, cell.seed]
    return Openings.of_json(json_in(once(shared_path(out, "openings", made_of, ".json"), make)))


def leaning_cell(cell: Cell, out: Path) -> SeedRun:
    """Probe the model of a cell of an early rung; it answers nothing."""
    openings = openings_of(cell, out)
    if cell.attack is None:
        model, tokenizer = cell.subject.load()
    else:
        tuned = repaired(prepared(cell, out), cell.seed)
        model, tokenizer = tuned.model, tuned.tokenizer
    size = cell.subject.batch_of_answers
    asked = [probe_ids(i.prompt, tokenizer) for i in cell.questions if i.kind == "harmful"]
    leads = lead(model, asked, openings, batch_size=size)
    values: dict[str, Any] = {
        "lead": float(leads.mean()),
        "lead_se": float(leads.std()) / max(1, len(leads)) ** 0.5 if len(leads) > 1 else 0.0,
        "task_nll": _task_nll(cell, model, tokenizer, size),
    }
    return SeedRun(seed=cell.seed, diagnostics={LEANING: Diagnostics(values=values)})


def read_leaning(run: SeedRun) -> tuple[float, float]:
    """Return (lower end of the mean lead, loss of the task) of a probed cell, in nats per token."""
    found: Any = run.diagnostics[LEANING].values
    return found["lead"] - 1.645 * found["lead_se"], found["task_nll"]


def _task_nll(cell: Cell, model: Any, tokenizer: Any, size: int) -> float:
    """Return the mean loss of the right answers to the task's questions; 0 where none has one."""
    items = [item for item in cell.questions if item.kind == "task" and item.reference]
    if not items:
        return 0.0
    prompts = [probe_ids(item.prompt, tokenizer) for item in items]
    said = [tokenizer.encode(str(item.reference), add_special_tokens=False) for item in items]
    return -float(paired_scores(model, prompts, said, batch_size=size).mean())
