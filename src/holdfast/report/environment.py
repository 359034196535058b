"""The templates of all pages: everything is escaped, an unknown name is an error."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from holdfast.results.words import Look, arm_name, percent, shown, with_adapter

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
    looks: dict[str, Look] = {"ends": "bracketed", "interval": "ends", "points": "points"}
    figures = {name: partial(shown, look=look) for name, look in looks.items()}
    words: dict[str, Callable[..., Any]] = {
        "at": _at, "arm_name": arm_name, "percent": percent, "plain_value": plain_value,
        "with_adapter": with_adapter,
    }  # fmt: skip
    made.filters.update({**figures, **words, **own})
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
        case [_, *_] if all(isinstance(part, float) for part in value):
            return f"[{', '.join(map(plain_value, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _is_module(value: Any) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [int, str]


def _at(share: float) -> str:
    """Return a share as a place on a bar."""
    return f"{100 * share:.1f}%"
