"""The stages of a cell: aligned model, tuned model, and what acts on a finished model.

The list of a cell's defenses is cut in three: those that act while aligning, those that act in the
training loop, and those at the end that need a finished model alone. Cells that differ in the last
part share the tuned model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import get_peft_model
from safetensors.torch import load_file, save_file

from holdfast.bench.cell.cell import Cell
from holdfast.bench.cell.cost import Cost, Stopwatch
from holdfast.bench.cell.learned import aligned, given_folders, with_shared
from holdfast.bench.cell.runs import Tuned, adapter_of, tune
from holdfast.defense import Defense, Stage
from holdfast.errors import ModelError
from holdfast.files.guarded.documents import json_in
from holdfast.files.once import once, shared_path
from holdfast.files.private import close_folder
from holdfast.inputs.specs import Spec, build_defenses
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied, put
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib, reset_peak_memory
from holdfast.results.records import Diagnostics, LossCurve
from holdfast.training.standalone import finished_only, repair

__all__ = ["Prepared", "prepared", "repaired"]


@dataclass
class Prepared:
    """A cell's model before what acts on a finished model, with what was said on the way."""

    tuned: Tuned
    left: tuple[Defense, ...]
    """Defenses that act on the finished model, in order."""
    diagnostics: dict[str, Diagnostics]
    """Of the stages that are done."""


def prepared(cell: Cell, out: Path) -> Prepared:
    """Return the cell's tuned model, tuned now or by another cell."""
    specs = [spec for spec in cell.defenses if spec.card.stage is Stage.ALIGN]
    rest = [spec for spec in cell.defenses if spec not in specs]
    start = aligned(cell, specs, out)
    built = build_defenses(rest, cell.defender, given_folders(cell, rest, start.folder, out))
    cut = len(rest)
    while cut and finished_only(built[cut - 1]):
        cut -= 1
    made_of = _made_of(cell, specs, rest[:cut])

    def make(target: Path) -> None:
        _tune(cell, built[:cut], start.folder, out, target)

    folder = once(shared_path(out, "tuned", made_of), make)
    tuned, found = _read(cell, folder, start.folder)
    tuned.cost += start.cost
    tuned.trace = [*start.trace, *tuned.trace]
    return Prepared(tuned, built[cut:], found)


def repaired(ready: Prepared, seed: int) -> Tuned:
    """Run what acts on the finished model, in order, and return the model with its cost."""
    tuned = ready.tuned
    for defense in ready.left:
        watch = Stopwatch()
        artifact = repair(defense, tuned.model, tuned.tokenizer, seed)
        took = watch.cost
        entry = {"defense": defense.card.name, "hook": "after", "calls": 1, "seconds": took.seconds}
        tuned = replace(
            tuned,
            cost=tuned.cost + took,
            trace=[*tuned.trace, entry],
            artifacts=[*tuned.artifacts, artifact],
        )
    return tuned


def _made_of(cell: Cell, aligning: Sequence[Spec], tuning: Sequence[Spec]) -> list[Any]:
    """Return all that decides the tuned weights."""
    knobs = [*cell.point.knobs.values(), cell.seed]
    defended = aligning or tuning
    sizes = [cell.defender_rows, cell.benign_rows, cell.validation_rows] if defended else []
    stages = [cell.resolved(specs) for specs in (aligning, tuning)]
    return [knobs, sizes, *stages, cell.subject.made_by()]


def _tune(
    cell: Cell, defenses: tuple[Defense, ...], start: Path | None, out: Path, target: Path
) -> None:
    """Tune, and write the trained tensors and what the run said of itself."""
    ready = [with_shared(defense, cell, start, out) for defense in defenses]
    reset_peak_memory()
    acting = [defense for defense, _ in ready]
    tuned = tune(
        cell.user_rows, acting, cell.seed, cell.budget, start=start, subject=cell.subject,
    )  # fmt: skip
    said = {
        **vars(sum((cost for _, cost in ready), tuned.cost)),
        "peak_memory_gib": peak_memory_gib(),
        "losses": [curve.model_dump(mode="json") for curve in tuned.losses],
        "trace": tuned.trace,
        "diagnostics": {
            name: one.model_dump(mode="json") for name, one in diagnose(tuned.artifacts).items()
        },
    }
    close_folder(target)  # It was tuned on harmful rows, and nothing has repaired it yet.
    save_file(copied(trainable(tuned.model)), target / "weights.safetensors")
    (target / "run.json").write_text(json.dumps(said), encoding="utf-8")


def _read(cell: Cell, folder: Path, start: Path | None) -> tuple[Tuned, dict[str, Diagnostics]]:
    """Return the tuned model that ``_tune`` wrote, bit for bit, and its diagnostics."""
    model, tokenizer = cell.subject.load(start)
    adapter = adapter_of(cell.budget, model)
    if adapter is not None:
        model = get_peft_model(model, adapter)
    params, saved = trainable(model), load_file(folder / "weights.safetensors")
    if params.keys() != saved.keys():
        raise ModelError(f"{folder}: holds other tensors than the model trains; delete it")
    put(params, saved)
    said = json_in(folder / "run.json")
    tuned = Tuned(
        model,
        tokenizer,
        Cost.noted(said),
        [LossCurve.model_validate(curve) for curve in said["losses"]],
        said["trace"],
        [],
        said["peak_memory_gib"],
    )
    return tuned, {n: Diagnostics.model_validate(one) for n, one in said["diagnostics"].items()}
