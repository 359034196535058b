"""What it takes to run it again: options, settings, judges, data, versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.comparisons.scenes import Scene
from holdfast.report.shown import Shown
from holdfast.results.readings import Reading
from holdfast.results.records import SeedRun
from holdfast.results.words import arm_name

__all__ = ["section"]


def section(shown: Shown) -> dict[str, Any]:
    """Return the arms' settings, the judges and the decoding; the rest stands in the result."""
    runs = [run for arm in shown.result.arms for run in arm.runs]
    sides = [side for run in runs for side in (run, *run.readings)]
    judges = dict.fromkeys(_judge(side) for side in sides if side.judge)
    decoded = dict.fromkeys(_decoding(run.decoding) for run in runs if run.decoding)
    settings = _settings(shown.scenes)
    return {"settings_of_arms": settings, "judges": list(judges), "decodings": list(decoded)}


def _judge(side: SeedRun | Reading) -> str:
    """Return a judge with the hash of what it was asked with."""
    return side.judge + (f", template {side.template_hash}" if side.template_hash else "")


def _decoding(given: Mapping[str, int | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _settings(found: Sequence[Scene]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return (title, settings) of every arm; an arm that ran alike everywhere stands once.

    Where its settings differ between scenarios, the title names the scenario.
    """
    by_arm: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for scene in found:
        for arm in scene.arms:
            if arm.settings:
                by_arm.setdefault(arm_name(arm.defense), []).append((scene.title, arm.settings))
    out: list[tuple[str, list[tuple[str, Any]]]] = []
    for name, given in by_arm.items():
        alike = all(settings == given[0][1] for _, settings in given)
        for title, settings in given[:1] if alike else given:
            told = name if alike or not title else f"{name} · {title}"
            out.append((told, list(settings.items())))
    return out
