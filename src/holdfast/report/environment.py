"""What all pages of results share: the template environment, pictures, cells of tables."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.metrics import Figure
from holdfast.report.sections.movement import spread_text
from holdfast.report.sections.settings import plain_value
from holdfast.report.templating import environment_with
from holdfast.results.records import Arm
from holdfast.results.words import arm_name, percent, shown

__all__ = ["COLUMNS", "columns_of", "environment", "picture"]

COLUMNS: tuple[tuple[Figure, str], ...] = (
    ("hs", "Harmful score"),
    ("over_refusal", "Over-refusal"),
    ("fa", "Task accuracy"),
    ("usefulness", "Usefulness"),
)


def columns_of(arms: tuple[Arm, ...]) -> list[tuple[Figure, str]]:
    """Return the figures that any arm has, with their headings."""
    return [(f, title) for f, title in COLUMNS if any(f in arm.figures for arm in arms)]


def picture(svg: str | None) -> Markup | None:
    """Return a picture that the page puts in as it is."""
    # Made by our own figures alone, where matplotlib escapes every label.
    return None if svg is None else Markup(svg)  # noqa: S704


def _width(estimate: Interval | None) -> str:
    """Return a share as the width of a bar."""
    return f"{100 * estimate.value:.1f}%" if estimate is not None else "0%"


def _dots(arm: Arm, figure: Figure) -> list[str]:
    """Return where each seed's share lies on the bar; one seed is the mean and needs no dot."""
    found = [run.shares[figure].value for run in arm.runs if figure in run.shares]
    return [f"{100 * share:.1f}%" for share in found] if len(found) > 1 else []


@cache
def environment() -> Environment:
    """Return the environment of the pages of results."""
    ours: dict[str, Callable[..., Any]] = {
        "arm_name": arm_name,
        "percent": percent,
        "interval": shown,
        "points": partial(shown, look="points"),
        "width": _width,
        "dots": _dots,
        "plain_value": plain_value,
        "spread": spread_text,
    }
    return environment_with(ours)
