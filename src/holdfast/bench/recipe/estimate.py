"""How long a recipe takes, before it runs: rough, from runs of the organism on a core each."""

from collections.abc import Sequence

from holdfast.bench.cell.cell import Cell
from holdfast.defense import Stage
from holdfast.inputs.specs import Spec

__all__ = ["estimated_minutes", "told"]

_STEP, _CELL, _REPAIR, _LEARN = 0.09, 2.0, 4.0, 8.0
"""Seconds of a step, of measuring a cell, of a repair, and of what is learned before step 0."""
_IN_LOOP = 3.0  # Gradients of an in-loop step.


def estimated_minutes(cells: Sequence[Cell], workers: int) -> float | None:
    """Return roughly how many minutes the cells take on this many workers with a core each.

    Cells that differ in a repair alone share their tuned model, and it is counted once. None for
    another model than the organism.
    """
    if any(cell.subject.real for cell in cells):
        return None
    total, tuned = 0.0, set[tuple[object, ...]]()
    for cell in cells:
        total += _CELL
        if cell.attack is None:
            continue
        repairs = [spec for spec in cell.defenses if _repairs(spec)]
        total += _REPAIR * len(repairs)
        specs = tuple(spec for spec in cell.defenses if spec not in repairs)
        run = cell.attack, cell.seed, specs
        if run not in tuned:
            tuned.add(run)
            factor = _IN_LOOP if any("mode=in-loop" in spec.text for spec in specs) else 1.0
            total += _STEP * cell.attack.steps * factor + _LEARN * len(specs)
    return total / max(1, min(workers, len(cells))) / 60


def told(minutes: float | None, workers: int) -> str:
    """Return the estimate in words."""
    if minutes is None:
        return "no estimate of the time for a model of yours"
    return f"about {minutes:.0f} min on {workers} workers if none is done"


def _repairs(spec: Spec) -> bool:
    return spec.card.stage is Stage.REPAIR and spec.options.get("mode") != "in-loop"
