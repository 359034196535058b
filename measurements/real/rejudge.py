"""Let today's judges read what the bench's models answered, instead of tuning them again.

A judge's version is part of what makes a cell. Cells that differ from one of today's recipe in
their judges alone have their answers judged anew and are kept as that one; the rest of them stays.

Usage: ``python -m measurements.real.rejudge real OLD NEW`` (a recipe, and two folders of a bench)
"""

import argparse
import json
from pathlib import Path
from typing import Any

from holdfast.bench.bench import plan
from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.run_cell import keep
from holdfast.evaluation.fidelity import Kept
from holdfast.evaluation.measure import judge_answers
from holdfast.evaluation.reply import Reply
from holdfast.inputs.judging import judges_for
from holdfast.results.records import SeedRun

__all__ = ["judged_again", "same_but_judges"]

OF_THE_ANSWERS = {"answers", "shares", "counts", "readings", "judge", "words", "template_hash"}
"""What of a run the judges say; the rest of it is kept."""


def main() -> None:
    """Judge every cell of OLD that is one of the recipe's, and print how many were."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("recipe")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    given = parser.parse_args()
    cells = {same_but_judges(cell.settings): cell for cell in plan(given.recipe).cells}
    count, left = 0, 0
    for path in sorted(given.old.glob("cells/*/result.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        cell = cells.get(same_but_judges(document["settings"]))
        if cell is None:
            left += 1
            continue
        keep(cell, judged_again(cell, SeedRun.model_validate(document["run"])), given.new)
        count += 1
    print(f"{count} cells judged again, {left} are none of {given.recipe}")


def same_but_judges(settings: dict[str, Any]) -> str:
    """Return the settings as text, without the judges and without where the model lay."""
    made_by = {k: v for k, v in settings["made_by"].items() if k not in ("judges", "model")}
    return json.dumps({**settings, "made_by": made_by}, sort_keys=True, default=str)


def judged_again(cell: Cell, run: SeedRun) -> SeedRun:
    """Return the run with what today's judges make of its answers."""
    items, said = cell.questions, {answer.id: answer for answer in run.answers}
    replies = [
        Reply(said[i.id].answer, thought=said[i.id].thought, cut=said[i.id].cut) for i in items
    ]
    found = judge_answers(items, replies, judges_for(cell.subject.name).judges)
    kept = {a.id: Kept(0, a.kept, a.nll or 0.0) for a in run.answers if a.kept is not None}
    if kept:
        found = found.with_kept(kept)
    rest = {name: getattr(run, name) for name in SeedRun.model_fields.keys() - OF_THE_ANSWERS}
    fresh = SeedRun.of(run.seed, found)
    return fresh.model_copy(update=rest)


if __name__ == "__main__":
    main()
