"""What the page's lower sections show: values measured on the way, traces, settings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.comparisons.scenes import Scene
from holdfast.results.records import Arm
from holdfast.results.words import arm_name

__all__ = ["TraceRow", "measured_values", "plain_value", "settings_of", "trace_rows"]

SHOWN_APART = {"warnings"}
"""Values that stand elsewhere on the page."""


@dataclass(frozen=True)
class TraceRow:
    """One hook of one arm's defense, summed over the arm's runs."""

    arm: str
    defense: str
    hook: str
    calls: int
    seconds: float


def measured_values(arms: Sequence[Arm]) -> list[tuple[str, str, list[str]]]:
    """Return (arm, name, value under each seed) of what single defenses measured."""
    said: dict[tuple[str, str], list[str]] = {}
    for arm in (arm for arm in arms if len(arm.defenses) == 1):
        for found in (found for run in arm.runs for found in run.diagnostics.values()):
            for name, value in found.values.items():
                if name not in SHOWN_APART:
                    said.setdefault((arm_name(arm.defense), name), []).append(plain_value(value))
    return [(arm, name, values) for (arm, name), values in said.items()]


def trace_rows(arms: Sequence[Arm]) -> list[TraceRow]:
    """Sum the trace of each arm's runs by defense and hook."""
    sums: dict[tuple[str, str, str], tuple[int, float]] = {}
    for arm in arms:
        for entry in (entry for run in arm.runs for entry in run.trace):
            key = (arm_name(arm.defense), entry.defense, entry.hook)
            calls, seconds = sums.get(key, (0, 0.0))
            sums[key] = (calls + entry.calls, seconds + entry.seconds)
    return [TraceRow(*key, *value) for key, value in sums.items()]


def settings_of(found: Sequence[Scene]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return (title, settings) of every arm; an arm that ran alike everywhere stands once.

    Where its settings differ between scenarios, the title names the scenario.
    """
    by_arm: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for scene in found:
        for arm in scene.arms:
            if arm.settings:
                by_arm.setdefault(arm.defense, []).append((scene.title, arm.settings))
    out: list[tuple[str, list[tuple[str, Any]]]] = []
    for defense, given in by_arm.items():
        alike = all(settings == given[0][1] for _, settings in given)
        for title, settings in given[:1] if alike else given:
            name = arm_name(defense) if alike or not title else f"{arm_name(defense)} · {title}"
            out.append((name, list(settings.items())))
    return out


def plain_value(value: Any) -> str:
    """Return a value as a reader wants it; modules, [layer, role] each, as ``0.k 0.q``."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and value and all(_is_module(part) for part in value):
        return " ".join(f"{layer}.{role}" for layer, role in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_module(value: Any) -> bool:
    """Return whether a value is [layer, role]."""
    match value:
        case [int(), str()]:
            return True
        case _:
            return False
