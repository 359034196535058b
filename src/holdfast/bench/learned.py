"""What cells learn before step 0 and share: an aligned model, Mods_Rob, a security vector."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from holdfast import organism
from holdfast.bench.defense_spec import build_defenses, parse_spec
from holdfast.bench.demo_plan import DemoConfig, find_modules
from holdfast.bench.grid import Cell, resolved
from holdfast.bench.organism_runs import tune
from holdfast.bench.shared import once, origin, shared_path
from holdfast.defense import Defense
from holdfast.defenses.module_rates import ModuleRates
from holdfast.defenses.resta import RESTA
from holdfast.defenses.safe_lora import SafeLoRA
from holdfast.defenses.security_vectors import SecurityVectors
from holdfast.ops.randomness import derived_seed, isolated_rng
from holdfast.organism import scenarios
from holdfast.organism.build import SHIPPED
from holdfast.organism.curriculum import more_alignment
from holdfast.standalone import standalone_run

__all__ = ["Aligned", "aligned", "given_folders", "unaligned", "with_shared"]

RUN = "run.json"


@dataclass(frozen=True)
class Aligned:
    """The model that a user's run starts from, and what making it said."""

    folder: Path | None = None
    """None for the organism as it is shipped."""
    seconds: float = 0.0
    trace: Sequence[dict[str, Any]] = ()


def aligned(cell: Cell, specs: tuple[str, ...], out: Path) -> Aligned:
    """Return the organism aligned further with ``specs``; without any, as it is shipped."""
    if not specs:
        return Aligned()
    made_of = [resolved(specs), cell.seed, cell.defender_rows, origin()]

    def make(target: Path) -> None:
        pairs = scenarios.defender_pairs(cell.defender_rows, cell.seed)
        defenses = build_defenses(specs, {"harmful": pairs})
        rows = more_alignment(seed=cell.seed)
        tuned = tune(rows, defenses, cell.seed, budget=scenarios.ALIGNMENT_BUDGET)
        _save(tuned, target)
        _note(target, tuned.seconds, tuned.trace)

    folder = once(shared_path(out, "aligned", made_of), make)
    return Aligned(folder, **_noted(folder))


def unaligned(out: Path) -> Path:
    """Return the folder of the organism after a harmful fine-tune: a stand-in for its base."""
    budget = scenarios.UNALIGNING_BUDGET

    def make(target: Path) -> None:
        _save(tune(scenarios.defender_pairs(budget.rows, 0), (), 0, budget=budget), target)

    return once(shared_path(out, "unaligned", [asdict(budget), origin()]), make)


def given_folders(
    cell: Cell, specs: Sequence[str], start: Path | None, out: Path
) -> dict[str, dict[str, str]]:
    """Return the model folders that defenses need and a recipe need not name, by defense."""
    named = {parse_spec(spec)[0] for spec in specs}
    origin_of = str(start or SHIPPED)
    found: dict[str, dict[str, str]] = {}
    full = {"aligned": origin_of} if scenarios.BUDGETS[cell.scenario].full else {}
    if SafeLoRA in named:
        found[SafeLoRA.card.name] = {"base": str(unaligned(out)), **full}
    if RESTA in named:
        found[RESTA.card.name] = full
    return found


def with_shared(
    defense: Defense, cell: Cell, start: Path | None, out: Path
) -> tuple[Defense, float]:
    """Give a defense what it would learn before step 0; return it and what that took, seconds."""
    if isinstance(defense, ModuleRates) and defense.modules is None:
        return _with_modules(defense, cell, out), 0.0
    if isinstance(defense, SecurityVectors) and defense.vector is None and defense.scale > 0:
        return _with_vector(defense, cell, start, out)
    return defense, 0.0


def _with_modules(defense: ModuleRates, cell: Cell, out: Path) -> Defense:
    """Give ML-LR and SWAT the organism's Mods_Rob."""
    if (defense.method, defense.rho) != ("gradient", None):
        return defense  # Its own way to analyze: it does so itself.
    config = DemoConfig(defender_rows=cell.defender_rows, tau=defense.tau)
    path = shared_path(out, "robust_modules", [cell.defender_rows, defense.tau, origin()], ".json")
    once(path, lambda target: find_modules(config, target))
    return replace(defense, modules=str(path), harmful=None, benign=None)


_ATTACHING = ("scale", "attach", "max_harmful_nll", "max_benign_kl", "vector")
"""Settings of security vectors that do not change how the vector is trained."""


def _with_vector(
    defense: SecurityVectors, cell: Cell, start: Path | None, out: Path
) -> tuple[Defense, float]:
    """Give security vectors a trained vector; each run still holds it against the gate."""
    config = {k: v for k, v in defense.config().items() if k not in _ATTACHING}
    sizes = [cell.defender_rows, cell.benign_rows]
    made_of = [config, sizes, cell.seed, start.name if start else "", origin()]

    def make(target: Path) -> None:
        model, tokenizer = organism.load(start or "llama")
        began, run = time.perf_counter(), standalone_run(model, tokenizer, cell.seed)
        learning = replace(defense, max_harmful_nll=1e6, max_benign_kl=1e6)
        with isolated_rng(derived_seed(cell.seed, defense.card.name, "before")):
            learning.before(run)
        learning.after(run).save(target)
        _note(target, time.perf_counter() - began)

    folder = once(shared_path(out, "vector", made_of), make)
    return replace(defense, vector=str(folder / defense.card.name)), _noted(folder)["seconds"]


def _save(tuned: Any, target: Path) -> None:
    """Write a model folder that ``organism.load`` reads."""
    tuned.model.save_pretrained(target)
    tuned.tokenizer.save_pretrained(target)


def _note(folder: Path, seconds: float, trace: Sequence[dict[str, Any]] = ()) -> None:
    said = {"seconds": seconds, "trace": list(trace)}
    (folder / RUN).write_text(json.dumps(said), encoding="utf-8")


def _noted(folder: Path) -> dict[str, Any]:
    return json.loads((folder / RUN).read_text(encoding="utf-8"))
