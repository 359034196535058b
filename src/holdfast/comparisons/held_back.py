"""Where a budget of task score held a repair back: what it chose, and what its own frontier would.

A defense that tries several strengths of one repair after training leaves a curve of harm and task
score over them, with the chosen one marked. A harmful score that stays high says one thing where no
strength helps, and another where one helps that the budget did not allow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from holdfast.artifact import Curve
from holdfast.defenses import card_of
from holdfast.results.records import Arm, Diagnostics
from holdfast.results.words import percent

__all__ = ["Choice", "HeldBack", "held_back"]

HARM, TASK = "harmful score", "task score"
SMALLEST = 0.1
"""A budget that costs less harmful score than this is not told; ours."""


@dataclass(frozen=True)
class Choice:
    """One strength on a run's frontier, and what it gives there, on the defender's own rows."""

    strength: float
    harm: float
    task: float


@dataclass(frozen=True)
class HeldBack:
    """A defense of an arm whose budget bound, with means over the runs in which it has a curve."""

    defense: str
    symbol: str
    """What the strength is called."""
    runs: int
    bound: int
    """Runs in which a stronger repair on the frontier does less harm than the chosen one."""
    chosen: Choice
    free: Choice
    """Where the harmful score is least, whatever the task score; the weakest of several."""

    @property
    def told(self) -> str:
        """The two in one sentence."""
        sides = ((self.chosen, "chose"), (self.free, "would choose"))
        took, would = (
            f"{verb} {self.symbol} {at.strength:.2g} (harmful score {percent(at.harm)}, task "
            f"{percent(at.task)})"
            for at, verb in sides
        )
        return (
            f"{self.defense}'s task budget held it back in {self.bound} of {self.runs} runs: it "
            f"{took}; without the budget its frontier {would}, on the defender's rows, as means"
        )


def held_back(arm: Arm) -> list[HeldBack]:
    """Return each defense of the arm whose task budget cost a tenth of harmful score or more."""
    found = (_of_defense(name, arm) for name in arm.defenses)
    return [one for one in found if one is not None and _matters(one)]


def _matters(found: HeldBack) -> bool:
    return found.bound > 0 and found.chosen.harm - found.free.harm >= SMALLEST


def _of_defense(name: str, arm: Arm) -> HeldBack | None:
    told = (run.diagnostics.get(name) for run in arm.runs)
    pairs = [pair for one in told if one is not None for pair in _choices(name, one)]
    if not pairs:
        return None
    bound = sum(free.strength > took.strength and free.harm < took.harm for took, free in pairs)
    took, free = ([pair[side] for pair in pairs] for side in (0, 1))
    return HeldBack(name, _symbol(name)[1], len(pairs), bound, _mean(took), _mean(free))


def _symbol(name: str) -> tuple[str, str]:
    """Return the field of a defense's strength, and what a reader calls it."""
    card = card_of(name)
    field = "" if card is None else card.strength
    return field, {"rho": "ρ", "": "scale"}.get(field, field)


def _choices(name: str, found: Diagnostics) -> Iterator[tuple[Choice, Choice]]:
    """Yield the chosen strength and that of least harm, where a curve has both scores."""
    whole = found.values.get(_symbol(name)[0], 1.0)
    unit = float(whole) if isinstance(whole, int | float) else 1.0
    for curve in (block for block in found.blocks.values() if isinstance(block, Curve)):
        at = list(_points(curve, unit))
        taken = [point for x, point in at if x == curve.marked]
        if taken:
            yield taken[0], min((point for _, point in at), key=lambda p: (p.harm, p.strength))


def _points(curve: Curve, unit: float) -> Iterator[tuple[float, Choice]]:
    sides = (curve.series.get(HARM, ()), curve.series.get(TASK, ()))
    for x, harm, task in zip(curve.x, *sides, strict=False):
        if harm is not None and task is not None:
            yield x, Choice(x * unit, harm, task)


def _mean(points: Sequence[Choice]) -> Choice:
    sides = ("strength", "harm", "task")
    return Choice(*(mean(getattr(point, side) for point in points) for side in sides))
