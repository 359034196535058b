"""How far a cell's run moved its model from the untouched one: weights, and security features."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.analysis.changes import movement
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.pipeline import AnalysisSettings, analyze, probed_model
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.bench.cell.cell import Cell
from holdfast.defense import listed
from holdfast.files.hashes import sha256_of
from holdfast.files.once import once, shared_path
from holdfast.results.records import Movement

__all__ = ["mods_rob", "moved"]


def moved(cell: Cell, model: Any, out: Path) -> Movement | None:
    """Return how far ``model`` is from the untouched one; None unless the recipe asks for it."""
    if not cell.movement:
        return None
    base, tokenizer = cell.subject.load()
    prompts = Prompts.checked(with_tokenizer(tokenizer), *_rows(cell))
    probed = probed_model(base, prompts, AnalysisSettings())
    robust = RobustModules.load(mods_rob(cell, out))
    return Movement.model_validate(movement(probed, robust, model))


def mods_rob(cell: Cell, out: Path) -> Path:
    """Return the file of the untouched model's Mods_Rob, found once for the bench in ``out``."""

    def make(target: Path) -> None:
        (model, tokenizer), rows = cell.subject.load(), _rows(cell)
        prompts = Prompts.checked(with_tokenizer(tokenizer), *rows)
        probes = sha256_of([row for each in rows for row in listed(each)])
        identity = {"model": cell.subject.name, "probe_sha256": probes}
        found = analyze(model, prompts, AnalysisSettings(), identity=identity)
        found.robust.save(target)

    of = [cell.defender_rows, cell.subject.made_by()]
    return once(shared_path(out, "untouched", of, ".json"), make)


def _rows(cell: Cell) -> tuple[Any, Any]:
    """Return the defender's harmful rows of seed 0 and as many harmless ones."""
    rows = replace(cell, seed=0, benign_rows=cell.defender_rows).defender
    return rows["harmful"], rows["benign"]
