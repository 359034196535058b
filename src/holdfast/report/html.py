"""The report: one self-contained page without scripts, that asks nothing of the network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from holdfast.evaluation.metrics import Figure
from holdfast.evaluation.statistics import Difference, Estimate
from holdfast.report import figures
from holdfast.report.records import Arm, Diagnostics
from holdfast.report.result import RunResult, write_whole
from holdfast.report.samples import samples
from holdfast.report.summary import SCOPE, answer, arm_name, headline_arms, percent, warnings_of
from holdfast.report.summary import interval as interval_text
from holdfast.report.svg import SERIES

__all__ = ["render", "write_report"]

COLUMNS: tuple[tuple[Figure, str], ...] = (
    ("hs", "Harmful score"),
    ("over_refusal", "Over-refusal"),
    ("fa", "Task accuracy"),
    ("usefulness", "Usefulness"),
)

GLYPHS = ("●", "■", "◆", "▲", "▼", "✚", "✖", "★")
"""The shapes of ``figures.MARKERS``, so that color is never the only difference."""


@dataclass(frozen=True)
class TraceRow:
    """One hook of one arm's defense, summed over the arm's runs."""

    arm: str
    defense: str
    hook: str
    calls: int
    seconds: float


def write_report(result: RunResult, path: str | Path, *, show_harmful: bool = False) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        result: What a run has measured.
        path: The HTML file.
        show_harmful: Show harmful prompts and answers of a real model instead of redacting them.

    Raises:
        RunError: The file cannot be written.
    """
    target = Path(path)
    write_whole(target, render(result, show_harmful=show_harmful))
    return target


def render(result: RunResult, *, show_harmful: bool = False) -> str:
    """Return the page as text."""
    arms = headline_arms(result)
    colors = {arm.defense: number for number, arm in enumerate(arms)}
    redacted = result.real_model and not show_harmful
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            arms=arms,
            columns=[(f, title) for f, title in COLUMNS if any(f in arm.figures for arm in arms)],
            colors={name: number % len(SERIES) + 1 for name, number in colors.items()},
            glyphs={name: GLYPHS[number % len(GLYPHS)] for name, number in colors.items()},
            answer=answer(result),
            warnings=warnings_of(result),
            pictures=_pictures(arms, colors),
            gates=_said(arms),
            trace=_trace(arms),
            samples=samples(arms, redacted=redacted),
            redacted=redacted,
            split=[arm for arm in arms if {"hs_content", "hs_garbled"} <= arm.figures.keys()],
            scope=SCOPE,
        )
    )


def _pictures(arms: Sequence[Arm], colors: Mapping[str, int]) -> dict[str, Markup | None]:
    """Draw what there is data for; the rest is None."""
    source, panacea = _panacea(arms)
    series = colors.get(source, 0)
    drawn = {
        "utility": figures.safety_utility(arms, colors),
        "frontier": figures.frontier(panacea, series),
        "layers": figures.layers(panacea, series),
        "losses": figures.losses(arms, colors),
    }
    # Made by figures.py alone, where matplotlib escapes every label.
    return {name: None if svg is None else Markup(svg) for name, svg in drawn.items()}  # noqa: S704


def _panacea(arms: Sequence[Arm]) -> tuple[str, list[tuple[int, Diagnostics]]]:
    """Return the simplest arm with a frontier or coefficients, and its diagnostics by seed."""
    for arm in sorted(arms, key=lambda arm: len(arm.defenses)):
        found = [
            (run.seed, diagnostics)
            for run in arm.runs
            for diagnostics in run.diagnostics.values()
            if diagnostics.frontier or diagnostics.safety_coefficients
        ]
        if found:
            return arm.defense, found
    return "", []


def _said(arms: Sequence[Arm]) -> list[tuple[str, str, list[str]]]:
    """Return (defense, name, value under each seed) of what single defenses measured."""
    said: dict[tuple[str, str], list[str]] = {}
    for run in (run for arm in arms if len(arm.defenses) == 1 for run in arm.runs):
        for defense, found in run.diagnostics.items():
            for name, value in {**found.gate, **found.values}.items():
                said.setdefault((defense, name), []).append(_plain_value(value))
    return [(defense, name, values) for (defense, name), values in said.items()]


def _trace(arms: Sequence[Arm]) -> list[TraceRow]:
    """Sum the trace of each arm's runs by defense and hook."""
    sums: dict[tuple[str, str, str], tuple[int, float]] = {}
    for arm in arms:
        for entry in (entry for run in arm.runs for entry in run.trace):
            key = (arm_name(arm.defense), entry.defense, entry.hook)
            calls, seconds = sums.get(key, (0, 0.0))
            sums[key] = (calls + entry.calls, seconds + entry.seconds)
    return [TraceRow(*key, *value) for key, value in sums.items()]


def _plain_value(value: Any) -> str:
    """Return a value of the configuration as a reader wants it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _points(difference: Difference | None) -> str:
    """Return a difference as ``-59 points``, with its interval."""
    if difference is None:
        return ""
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.value:+.0f} points [{low:+.0f}, {high:+.0f}]".replace("-", "−")


def _width(estimate: Estimate | None) -> str:
    """Return a share as the width of a bar."""
    return f"{100 * estimate.value:.1f}%" if estimate is not None else "0%"


@cache
def _environment() -> Environment:
    """Return the templates' environment: everything is escaped, an unknown name is an error."""
    environment = Environment(
        loader=PackageLoader("holdfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "arm_name": arm_name,
        "percent": percent,
        "interval": interval_text,
        "points": _points,
        "width": _width,
        "plain_value": _plain_value,
    }
    return environment
