"""How far fine-tuning moved the model: the table by arm, and the comparison in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from holdfast.evaluation.interval import Interval
from holdfast.report.shown import Shown
from holdfast.results.records import PLAIN, Arm, SeedRun
from holdfast.results.words import DASH, listed, percent

__all__ = ["MovementRow", "Spread", "movement_rows", "movements", "section"]

Part = Literal["inside", "outside", "probe_drift", "probe_accuracy"]
SAME = 0.005
"""Relative differences below this are told as none; ours."""


@dataclass(frozen=True)
class Spread(Interval):
    """A mean over ``seeds`` runs between the least and the most of them."""

    seeds: int


@dataclass(frozen=True)
class MovementRow:
    """One arm's movement; None where no seed measured it."""

    arm: Arm
    inside: Spread | None
    outside: Spread | None
    probe_drift: Spread | None
    probe_accuracy: Spread | None


def section(shown: Shown) -> dict[str, Any] | None:
    """Return each scene in which it was measured, with its rows and comparisons in words."""
    parts = [(s, movement_rows(s.arms), movements(s.arms)) for s in shown.scenes]
    parts = [part for part in parts if part[1]]
    return {"parts": parts, "spread": _spread_text} if parts else None


def movement_rows(arms: Sequence[Arm]) -> list[MovementRow]:
    """Return a row for each arm of which any run was measured."""
    return [
        MovementRow(arm, *(_spread(arm, part) for part in get_args(Part)))
        for arm in arms
        if any(run.movement is not None for run in arm.runs)
    ]


def movements(arms: Sequence[Arm]) -> list[str]:
    """Return how each single defense moved against plain fine-tuning on the seeds both have.

    Controls and combinations stand in the table alone.
    """
    plain = next((arm for arm in arms if arm.defense == PLAIN), None)
    ours = [arm for arm in arms if len(arm.defenses) == 1 and not arm.is_control]
    told = [_against(arm, plain) for arm in ours] if plain is not None else []
    return [text for text in told if text]


def _spread_text(spread: Spread | None, *, share: bool = False) -> tuple[str, str]:
    """Return a figure's mean and range, least to most, in percent where it is a share.

    The range is '' for one seed.
    """
    if spread is None:
        return DASH, ""
    three = (spread.value, spread.low, spread.high)
    mean, low, high = (percent(value) if share else f"{value:.3g}" for value in three)
    return mean, f"{low}{DASH}{high}" if spread.seeds > 1 else ""


def _against(arm: Arm, plain: Arm) -> str:
    """Return one arm's comparison, '' where nothing was measured on both sides."""
    compared = (
        _compared(arm, plain, "outside", "the weights outside Mods_Rob"),
        _compared(arm, plain, "probe_drift", "the probe's features"),
    )
    told = [text for text in compared if text]
    if not told:
        return ""
    task, base = arm.mean("fa"), plain.mean("fa")
    measured = task is not None and base is not None
    at = f", at task accuracy {percent(task)} against {percent(base)}" if measured else ""
    return f"{arm.defense} moved {listed(told)}{at}"


def _compared(arm: Arm, plain: Arm, part: Part, words: str) -> str:
    """Return ``words`` with the relative difference, both means and the seeds that agree."""
    theirs = {run.seed: _value(run, part) for run in plain.runs}
    pairs = [
        (left, right)
        for run in arm.runs
        if (left := _value(run, part)) is not None and (right := theirs.get(run.seed)) is not None
    ]
    if not pairs:
        return ""
    ours, base = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    fewer = sum(left < right for left, right in pairs)
    less = f"less in {fewer} of {len(pairs)} seeds"
    return f"{words} {_change(ours, base)} ({ours:.3g} against {base:.3g}, {less})"


def _change(ours: float, base: float) -> str:
    """Return ``ours`` relative to ``base`` in words."""
    if base == 0:
        return "as far" if ours == 0 else "more"
    change = ours / base - 1
    if abs(change) < SAME:
        return "as far"
    return f"{percent(abs(change))} {'less' if change < 0 else 'more'}"


def _spread(arm: Arm, part: Part) -> Spread | None:
    """Return the mean, the least and the most over the runs that measured ``part``."""
    values = [value for run in arm.runs if (value := _value(run, part)) is not None]
    if not values:
        return None
    return Spread(sum(values) / len(values), min(values), max(values), len(values))


def _value(run: SeedRun, part: Part) -> float | None:
    """Return one run's figure."""
    return None if run.movement is None else getattr(run.movement, part)
