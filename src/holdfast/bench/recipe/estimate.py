"""How long a recipe takes, before it runs: rough, from runs of the organism on a core each."""

import json
from collections.abc import Hashable, Sequence

from holdfast.bench.cell.cell import Cell
from holdfast.defense import Capability, Stage, implements
from holdfast.inputs.specs import Spec
from holdfast.organism.scenarios import BUDGET
from holdfast.training.standalone import finished_only

__all__ = ["estimated_minutes", "stage_seconds", "told"]

_STEP, _CELL, _REPAIR, _LEARN = 0.09, 2.0, 4.0, 8.0
"""Seconds of a step, of measuring a cell, of a repair, and of what is learned before step 0."""
_IN_LOOP = 3.0  # Gradients of an in-loop step.


def estimated_minutes(cells: Sequence[Cell], workers: int) -> float | None:
    """Return roughly how many minutes the cells take on this many workers with a core each.

    What cells share is counted once: a model that only repairs differ on, and what defenses take
    over. None for another model than the organism.
    """
    if any(cell.subject.real for cell in cells):
        return None
    made: dict[Hashable, float] = {}
    for cell in cells:
        made |= stage_seconds(cell)
    total = sum(made.values()) + _CELL * len(cells)
    return total / max(1, min(workers, len(cells))) / 60


def stage_seconds(cell: Cell) -> dict[Hashable, float]:
    """Return roughly the seconds of each stage that makes the cell's model, measuring left out.

    A stage that cells share has the same key in each: united, it counts once.
    """
    if cell.attack is None:
        return {}
    tuning = tuple(spec for spec in cell.defenses if not finished_only(spec.bare))
    rows = cell.budget.batch / BUDGET.batch
    factor = _IN_LOOP if any(map(_passes, tuning)) else 1.0
    found: dict[Hashable, float] = {
        (cell.attack, cell.seed, tuning): _STEP * rows * cell.attack.steps * factor
    }
    found |= {one: _LEARN for spec in tuning if (one := _learned(spec, cell)) is not None}
    repairs = len(cell.defenses) - len(tuning)  # Each cell makes its own.
    return found | {(cell.attack, cell.seed, cell.defenses, n): _REPAIR for n in range(repairs)}


def told(minutes: float | None, workers: int) -> str:
    """Return the estimate in words."""
    if minutes is None:
        return "no estimate of the time for a model of yours"
    return f"about {minutes:.0f} min on {workers} workers if none is done"


def _learned(spec: Spec, cell: Cell) -> Hashable:
    """Return what tells apart what is learned before step 0; None where nothing is."""
    defense = spec.bare
    shared = defense.shared()
    if shared is not None:
        made_of = json.dumps(shared.made_of, sort_keys=True)
        return shared.kind, made_of, cell.seed if shared.seeded else 0
    return (spec, cell.point, cell.seed) if implements(defense, "before") else None


def _passes(spec: Spec) -> bool:
    """Tell whether the user's steps cost further gradients: passes of its own around each."""
    more = Capability.EXTRA_BACKWARD in spec.card.needs and implements(spec.bare, "gradient")
    return more and spec.card.stage is not Stage.ALIGN
