"""The templates of all pages: everything is escaped, an unknown name is an error."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from holdfast.evaluation.statistics import Difference
from holdfast.report.bench_answers import ends
from holdfast.results.comparisons import Range
from holdfast.results.words import arm_name, interval, percent

__all__ = ["environment", "picture", "plain_value"]


@cache
def environment(**own: Callable[..., Any]) -> Environment:
    """Return the package's templates with the filters that pages share, and a page's own."""
    made = Environment(
        loader=PackageLoader("holdfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = {"at": _at, "ends": ends, "interval": interval, "percent": percent, "points": _points}
    made.filters.update({**shared, "arm_name": arm_name, "plain_value": plain_value, **own})
    return made


def picture(svg: str | None) -> Markup | None:
    """Return a picture that the page puts in as it is."""
    # Made by our own figures alone, where every label is escaped.
    return None if svg is None else Markup(svg)  # noqa: S704


def plain_value(value: Any) -> str:
    """Return a value as a reader wants it; modules, [layer, role] each, as ``0.k 0.q``."""
    match value:
        case float():
            return f"{value:.4g}"
        case str():
            return value
        case [_, *_] if all(_is_module(part) for part in value):
            return " ".join(f"{layer}.{role}" for layer, role in value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _is_module(value: Any) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [int, str]


def _points(difference: Difference | Range) -> str:
    """Return a difference as ``-59 points``, with its interval."""
    value, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    return f"{value:+.0f} points [{low:+.0f}, {high:+.0f}]".replace("-", "−")


def _at(share: float) -> str:
    """Return a share as a place on a bar."""
    return f"{100 * share:.1f}%"
