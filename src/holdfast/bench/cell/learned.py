"""What cells learn before step 0 and share: an aligned model, and what defenses can take over."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from peft import PeftModel

from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.cost import Cost, Stopwatch
from holdfast.bench.cell.runs import Tuned, tune
from holdfast.bench.subject.organism import Subject
from holdfast.defense import Defense, ModelRole, listed
from holdfast.defenses.installed import code_of
from holdfast.files.guarded.documents import json_in
from holdfast.files.hashes import sha256_of
from holdfast.files.once import once, shared_path
from holdfast.inputs.specs import Spec, build_defenses, model_fields
from holdfast.ops.randomness import derived_seed, isolated_rng
from holdfast.organism import scenarios
from holdfast.training.standalone import standalone_run

__all__ = ["Aligned", "aligned", "given_folders", "unaligned", "with_shared"]

RUN = "run.json"


@dataclass(frozen=True)
class Aligned:
    """The model that a user's run starts from, and what making it said."""

    folder: Path | None = None
    """None for the model as it is given."""
    cost: Cost = field(default_factory=Cost)
    trace: Sequence[dict[str, Any]] = ()


def aligned(cell: Cell, specs: Sequence[Spec], out: Path) -> Aligned:
    """Return the model aligned further with ``specs``; without any, as it is given."""
    if not specs:
        return Aligned()
    made_of = [cell.resolved(specs), cell.seed, cell.defender_rows, cell.subject.made_by()]

    def make(target: Path) -> None:
        defenses = build_defenses(specs, cell.defender)
        rows, budget = cell.subject.alignment(cell.seed)
        tuned = tune(rows, defenses, cell.seed, budget=budget, subject=cell.subject)
        _save(tuned, target)
        _note(target, tuned.cost, tuned.trace)

    folder = once(shared_path(out, "aligned", made_of), make)
    said = json_in(folder / RUN)
    return Aligned(folder, Cost.noted(said), said["trace"])


def unaligned(subject: Subject, out: Path) -> Path:
    """Return the folder of the organism before its alignment.

    Of one that was built before that was kept, it is the organism after a harmful fine-tune: a
    stand-in.
    """
    if (kept := subject.ancestor()) is not None:
        return kept[0]
    budget = scenarios.UNALIGNING_BUDGET

    def make(target: Path) -> None:
        rows = scenarios.defender_pairs(budget.rows, 0)
        _save(tune(rows, (), 0, budget=budget, subject=subject), target)

    return once(shared_path(out, "unaligned", [asdict(budget), subject.made_by()]), make)


def given_folders(
    cell: Cell, specs: Sequence[Spec], start: Path | None, out: Path
) -> dict[str, dict[str, str]]:
    """Return the model folders that defenses need and a recipe need not name, by defense."""

    def folder(role: ModelRole) -> str | None:
        if role == "aligned":  # An adapter has the aligned weights in its base.
            return str(start or cell.subject.path) if cell.budget.full else None
        return None if cell.subject.real else str(unaligned(cell.subject, out))

    return model_fields(specs, folder)


def with_shared(
    defense: Defense, cell: Cell, start: Path | None, out: Path
) -> tuple[Defense, Cost]:
    """Give a defense what it would learn before step 0; return it and what that took.

    What is the same at every seed is made once for the model and counts as no run's time.
    """
    shared = defense.shared()
    if shared is None:
        return defense, Cost()
    alike = dict.fromkeys(("benign_rows", "validation_rows"), cell.defender_rows)
    at = cell if shared.seeded else replace(cell, seed=0, **alike)
    rows = {key: value for key, value in at.defender.items() if key in shared.data}
    content = {key: sha256_of(listed(value)) for key, value in rows.items()}
    made_of = [shared.made_of, code_of(type(defense)), content, at.seed]
    made_of += [start.name if start else "", cell.subject.made_by()]

    def make(target: Path) -> None:
        target.mkdir()
        model, tokenizer = cell.subject.load(start)
        model.config._name_or_path = cell.subject.name  # Not a path of this machine.
        learning: Any = replace(cast("Any", defense), **rows).shared()
        watch, run = Stopwatch(), standalone_run(model, tokenizer, at.seed)
        with isolated_rng(derived_seed(at.seed, defense.card.name, "before")):
            learning.learn(run, target)
        _note(target, watch.cost)

    folder = once(shared_path(out, shared.kind, made_of), make)
    return shared.take(folder), Cost.noted(json_in(folder / RUN)) if shared.seeded else Cost()


def _save(tuned: Tuned, target: Path) -> None:
    """Write a model folder that ``Subject.load`` reads, LoRA factors merged into it."""
    model = tuned.model
    whole = model.merge_and_unload() if isinstance(model, PeftModel) else model
    whole.save_pretrained(target)
    tuned.tokenizer.save_pretrained(target)


def _note(folder: Path, cost: Cost, trace: Sequence[dict[str, Any]] = ()) -> None:
    said = {**vars(cost), "trace": list(trace)}
    (folder / RUN).write_text(json.dumps(said), encoding="utf-8")
