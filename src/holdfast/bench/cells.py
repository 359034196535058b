"""One cell is one run: it is tuned, measured, and kept in a folder of its own.

``cells/KEY/result.json`` appears whole or not at all and carries the SHA-256 of its content, so a
damaged one is found. What cells share stands in ``shared/``, named by the hash of what made it.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast import organism
from holdfast.bench.defense_spec import build_defenses
from holdfast.bench.demo_plan import DemoConfig, find_modules, validation
from holdfast.bench.grid import Cell
from holdfast.bench.organism_runs import measured, tune
from holdfast.defense import Defense
from holdfast.defenses.module_rates import ModuleRates
from holdfast.errors import InputError
from holdfast.evaluation import evaluate
from holdfast.ops.files import write_whole
from holdfast.organism import scenarios
from holdfast.report.provenance import versions
from holdfast.report.records import BEFORE, SeedRun

__all__ = ["defender_data", "keep", "once", "read", "result_file", "run_cell"]

RunCell = Callable[[Cell, Path], SeedRun]


def result_file(cell: Cell, out: Path) -> Path:
    """Return where the cell's result stands."""
    return out / "cells" / cell.key / "result.json"


def keep(cell: Cell, run: SeedRun, out: Path) -> None:
    """Write the cell's result, whole or not at all.

    Raises:
        RunError: The disk is full or the folder cannot be written.
    """
    content = {"settings": cell.settings, "run": run.model_dump(mode="json")}
    text = json.dumps({"sha256": _sha256(content), **content}, ensure_ascii=False) + "\n"
    write_whole(result_file(cell, out), text)


def read(cell: Cell, out: Path) -> SeedRun | None:
    """Return the cell's result, or None if it has not run.

    Raises:
        InputError: The file is damaged, or is another cell's.
    """
    path = result_file(cell, out)
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        content = {"settings": document["settings"], "run": document["run"]}
        intact = document["sha256"] == _sha256(content)
        run = SeedRun.model_validate(content["run"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}); it runs again") from error
    settings = json.loads(json.dumps(cell.settings, default=str))
    if not intact or content["settings"] != settings:
        raise InputError(f"{path} is damaged (its content is not what was written); it runs again")
    return run


def _sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def run_cell(cell: Cell, out: Path) -> SeedRun:
    """Tune the organism as the cell says, or leave it untouched, and measure it."""
    items = scenarios.evaluation_items("test", cell.items_per_kind, cell.scenario)
    if cell.defenses == (BEFORE,):
        model, tokenizer = organism.load()
        found = evaluate(model, tokenizer, items, organism.Oracle(), max_new_tokens=24)
        return SeedRun.of(cell.seed, found)
    rows = scenarios.SCENARIOS[cell.scenario](n=cell.rows, p=cell.p, seed=cell.seed)
    budget = replace(scenarios.BUDGETS[cell.scenario], learning_rate=cell.learning_rate)
    tuned = tune(rows, _defenses(cell, out), cell.seed, cell.steps, budget=budget)
    return measured(tuned, items, cell.seed)


def defender_data(sizes: Mapping[str, int], scenario: str, seed: int) -> dict[str, Any]:
    """Return the defender's data sets by the name of the field that takes them."""
    config = DemoConfig(validation_rows=sizes["validation_rows"])
    return {
        "harmful": scenarios.defender_pairs(sizes["defender_rows"], seed),
        "benign": scenarios.harmless_prompts(sizes["benign_rows"], seed),
        "safe": scenarios.refusal_pairs(sizes["defender_rows"], seed),
        "validation": validation(config, scenario),
    }


def _defenses(cell: Cell, out: Path) -> tuple[Defense, ...]:
    built = build_defenses(cell.defenses, defender_data(asdict(cell), cell.scenario, cell.seed))
    return tuple(_with_modules(defense, cell, out) for defense in built)


def _with_modules(defense: Defense, cell: Cell, out: Path) -> Defense:
    """Give ML-LR and SWAT the organism's Mods_Rob, which all cells share."""
    if not isinstance(defense, ModuleRates) or defense.modules is not None:
        return defense
    config = DemoConfig(defender_rows=cell.defender_rows, tau=defense.tau)
    if (defense.method, defense.rho) != ("gradient", None):
        return defense  # Its own way to analyze: it does so itself.
    weights = Path(organism.__file__).parent / "weights" / "model.safetensors"
    made_of = [cell.defender_rows, defense.tau, versions()["holdfast"], _file_hash(weights)]
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    path = out / "shared" / f"robust_modules-{key}.json"
    once(path, lambda target: find_modules(config, target))
    return replace(defense, modules=str(path), harmful=None, benign=None)


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def once(path: Path, make: Callable[[Path], Any]) -> None:
    """Make ``path`` unless it is there; parallel workers wait for the one that makes it.

    ``make`` writes to the path it is given, beside the real one, which is renamed when whole. A
    maker that is killed gives the lock back to the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}.partial")
        make(temporary)
        temporary.replace(path)
