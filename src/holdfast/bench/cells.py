"""One cell is one run: it is tuned, measured, and kept in a folder of its own.

``cells/KEY/result.json`` appears whole or not at all and carries the SHA-256 of its content, so a
damaged one is found. What cells share stands in ``shared/``.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast import organism
from holdfast.bench.demo_plan import DemoConfig, as_examples, validation
from holdfast.bench.grid import Cell
from holdfast.bench.organism_runs import measured
from holdfast.bench.stages import prepared, repaired
from holdfast.defense import listed
from holdfast.errors import InputError
from holdfast.evaluation import evaluate
from holdfast.ops.files import write_whole
from holdfast.organism import scenarios
from holdfast.report.provenance import DataSource, fingerprint
from holdfast.report.records import BEFORE, SeedRun

__all__ = ["data_sources", "defender_data", "keep", "read", "result_file", "run_cell"]

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
    items = scenarios.evaluation_items(cell.split, cell.items_per_kind, cell.scenario)
    if cell.defenses == (BEFORE,):
        model, tokenizer = organism.load()
        found = evaluate(model, tokenizer, items, organism.Oracle(), max_new_tokens=24)
        return SeedRun.of(cell.seed, found)
    ready = prepared(cell, defender_data(asdict(cell), cell.scenario, cell.seed), out)
    tuned = repaired(ready, cell.seed)
    return measured(tuned, items, cell.seed, diagnostics=ready.diagnostics)


def defender_data(sizes: Mapping[str, int], scenario: str, seed: int) -> dict[str, Any]:
    """Return the defender's data sets by the name of the field that takes them."""
    config = DemoConfig(validation_rows=sizes["validation_rows"])
    refusals = scenarios.refusal_pairs(sizes["defender_rows"], seed)
    return {
        "harmful": scenarios.defender_pairs(sizes["defender_rows"], seed),
        "benign": scenarios.harmless_prompts(sizes["benign_rows"], seed),
        "safe": refusals,
        "alignment": refusals,
        "validation": validation(config, scenario),
    }


def data_sources(cells: Sequence[Cell]) -> list[DataSource]:
    """Return the hash of everything that the cells read, each data set once."""
    found: dict[str, DataSource] = {}
    for cell in cells:
        items = f"{cell.split} questions, {cell.scenario}, {cell.items_per_kind} of a kind"
        if items not in found:
            asked = scenarios.evaluation_items(cell.split, cell.items_per_kind, cell.scenario)
            found[items] = fingerprint(items, as_examples(asked))
        user = f"user, {cell.scenario}, p={cell.p:g}, {cell.rows} rows, seed {cell.seed}"
        if cell.defenses != (BEFORE,) and user not in found:
            rows = scenarios.SCENARIOS[cell.scenario](n=cell.rows, p=cell.p, seed=cell.seed)
            found[user] = fingerprint(user, listed(rows))
        whose = f"{cell.scenario}, seed {cell.seed}, {_sizes(cell)}"
        if f"harmful, {whose}" not in found:
            for field, rows in defender_data(asdict(cell), cell.scenario, cell.seed).items():
                found[f"{field}, {whose}"] = fingerprint(f"{field}, {whose}", listed(rows))
    return list(found.values())


def _sizes(cell: Cell) -> str:
    return f"{cell.defender_rows}/{cell.benign_rows}/{cell.validation_rows} rows"
