"""What single defenses measured on the way, by name."""

from collections.abc import Sequence
from typing import Any

from holdfast.report.environment import plain_value
from holdfast.report.shown import Shown
from holdfast.results.records import Arm
from holdfast.results.words import arm_name

__all__ = ["section"]

SHOWN_APART = {"warnings"}
"""Values that stand elsewhere on the page."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return each scene's values; None of several attacks, under which they are too many."""
    parts = [(scene, _measured(scene.arms)) for scene in shown.scenes if not shown.several]
    parts = [(scene, values) for scene, values in parts if values]
    return {"parts": parts} if parts else None


def _measured(arms: Sequence[Arm]) -> list[tuple[str, str, list[str]]]:
    """Return (arm, name, value under each seed)."""
    said: dict[tuple[str, str], list[str]] = {}
    for arm in (arm for arm in arms if len(arm.defenses) == 1):
        for found in (found for run in arm.runs for found in run.diagnostics.values()):
            for name, value in found.values.items():
                if name not in SHOWN_APART:
                    said.setdefault((arm_name(arm.defense), name), []).append(plain_value(value))
    return [(arm, name, values) for (arm, name), values in said.items()]
