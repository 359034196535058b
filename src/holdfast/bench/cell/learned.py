"""What cells learn before step 0 and share: an aligned model, Mods_Rob, a security vector."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel

from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.movement import mods_rob
from holdfast.bench.cell.runs import Tuned, tune
from holdfast.bench.subject.organism import Subject
from holdfast.defense import Defense
from holdfast.defenses.module_rates import ModuleRates
from holdfast.defenses.resta import RESTA
from holdfast.defenses.safe_lora import SafeLoRA
from holdfast.defenses.security_vectors import SecurityVectors
from holdfast.files.once import once, shared_path
from holdfast.inputs.specs import Spec, build_defenses
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
    seconds: float = 0.0
    trace: Sequence[dict[str, Any]] = ()


def aligned(cell: Cell, specs: Sequence[Spec], out: Path) -> Aligned:
    """Return the model aligned further with ``specs``; without any, as it is given."""
    if not specs:
        return Aligned()
    resolved = [spec.resolved() for spec in specs]
    made_of = [resolved, cell.seed, cell.defender_rows, cell.subject.made_by()]

    def make(target: Path) -> None:
        defenses = build_defenses(specs, cell.defender)
        rows, budget = cell.subject.alignment(cell.seed)
        tuned = tune(rows, defenses, cell.seed, budget=budget, subject=cell.subject)
        _save(tuned, target)
        _note(target, tuned.seconds, tuned.trace)

    folder = once(shared_path(out, "aligned", made_of), make)
    return Aligned(folder, **_noted(folder))


def unaligned(subject: Subject, out: Path) -> Path:
    """Return the folder of the organism after a harmful fine-tune: a stand-in for its base."""
    budget = scenarios.UNALIGNING_BUDGET

    def make(target: Path) -> None:
        rows = scenarios.defender_pairs(budget.rows, 0)
        _save(tune(rows, (), 0, budget=budget, subject=subject), target)

    return once(shared_path(out, "unaligned", [asdict(budget), subject.made_by()]), make)


def given_folders(
    cell: Cell, specs: Sequence[Spec], start: Path | None, out: Path
) -> dict[str, dict[str, str]]:
    """Return the model folders that defenses need and a recipe need not name, by defense."""
    named = {spec.cls for spec in specs}
    real = cell.subject.real
    found: dict[str, dict[str, str]] = {}
    full = {"aligned": str(start or cell.subject.path)} if cell.budget.full else {}
    if SafeLoRA in named:
        base = (
            {} if real else {"base": str(unaligned(cell.subject, out))}
        )  # A recipe names a real one.
        found[SafeLoRA.card.name] = {**base, **full}
    if RESTA in named:
        found[RESTA.card.name] = full
    return found


def with_shared(
    defense: Defense, cell: Cell, start: Path | None, out: Path
) -> tuple[Defense, float]:
    """Give a defense what it would learn before step 0; return it and what that took, seconds."""
    if isinstance(defense, ModuleRates) and defense.modules is None:
        return _with_modules(defense, cell, start, out), 0.0
    if isinstance(defense, SecurityVectors) and defense.vector is None and defense.scale > 0:
        return _with_vector(defense, cell, start, out)
    return defense, 0.0


def _with_modules(defense: ModuleRates, cell: Cell, start: Path | None, out: Path) -> Defense:
    """Give ML-LR and SWAT the model's Mods_Rob."""
    if (defense.method, defense.rho) != ("gradient", None):
        return defense  # Its own way to analyze: it does so itself.
    found = mods_rob(cell, out, defense.tau, start)
    return replace(defense, modules=str(found), harmful=None, benign=None)


_ATTACHING = ("scale", "attach", "max_harmful_nll", "max_benign_kl", "vector")
"""Settings of security vectors that do not change how the vector is trained."""


def _with_vector(
    defense: SecurityVectors, cell: Cell, start: Path | None, out: Path
) -> tuple[Defense, float]:
    """Give security vectors a trained vector; each run still holds it against the gate."""
    config = {k: v for k, v in defense.config().items() if k not in _ATTACHING}
    sizes = [cell.defender_rows, cell.benign_rows]
    made_of = [config, sizes, cell.seed, start.name if start else "", cell.subject.made_by()]

    def make(target: Path) -> None:
        model, tokenizer = cell.subject.load(start)
        began, run = time.perf_counter(), standalone_run(model, tokenizer, cell.seed)
        learning = replace(defense, max_harmful_nll=1e6, max_benign_kl=1e6)
        with isolated_rng(derived_seed(cell.seed, defense.card.name, "before")):
            learning.before(run)
        learning.after(run).save(target)
        _note(target, time.perf_counter() - began)

    folder = once(shared_path(out, "vector", made_of), make)
    return replace(defense, vector=str(folder / defense.card.name)), _noted(folder)["seconds"]


def _save(tuned: Tuned, target: Path) -> None:
    """Write a model folder that ``Subject.load`` reads, LoRA factors merged into it."""
    model = tuned.model
    whole = model.merge_and_unload() if isinstance(model, PeftModel) else model
    whole.save_pretrained(target)
    tuned.tokenizer.save_pretrained(target)


def _note(folder: Path, seconds: float, trace: Sequence[dict[str, Any]] = ()) -> None:
    said = {"seconds": seconds, "trace": list(trace)}
    (folder / RUN).write_text(json.dumps(said), encoding="utf-8")


def _noted(folder: Path) -> dict[str, Any]:
    return json.loads((folder / RUN).read_text(encoding="utf-8"))
