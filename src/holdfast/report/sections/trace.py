"""Which hook of which defense ran, how often and for how long."""

from collections.abc import Iterable
from typing import Any

from holdfast.report.shown import Shown
from holdfast.results.records import Arm
from holdfast.results.words import arm_name

__all__ = ["section"]

TraceRow = tuple[str, str, int, int, float]
"""Arm, hook, runs, calls and seconds."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return each scene's rows by arm; of several attacks, one part with all arms together."""
    if shown.several:
        parts = [("", _rows(shown.result.arms, by_arm=False))]
    else:
        parts = [(scene.title, _rows(scene.arms, by_arm=True)) for scene in shown.scenes]
    parts = [(title, rows) for title, rows in parts if rows]
    return {"parts": parts} if parts else None


def _rows(arms: Iterable[Arm], *, by_arm: bool) -> list[TraceRow]:
    sums: dict[tuple[str, str], tuple[int, int, float]] = {}
    for arm in arms:
        for entry in (entry for run in arm.runs for entry in run.trace):
            key = (arm_name(arm.defense) if by_arm else "", f"{entry.defense}.{entry.hook}")
            runs, calls, seconds = sums.get(key, (0, 0, 0.0))
            sums[key] = (runs + 1, calls + entry.calls, seconds + entry.seconds)
    return [(*key, *value) for key, value in sums.items()]
