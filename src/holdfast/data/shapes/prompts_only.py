"""Prompts without answers, and text without turns."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.shapes.pairs import pair
from holdfast.data.shapes.protocol import Shape, column_in

__all__ = ["PROMPTS", "TEXT"]

_NAMES = (
    "prompt", "question", "goal", "instruction", "query", "behavior", "request",
    "forbidden_prompt", "problem", "input", "inputs",
)  # fmt: skip
_TEXT = ("text", "content")


def _columns(values: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the column of the prompts: one of a known name, or the only one of the file."""
    found = next((c for name in _NAMES if (c := column_in(values, name)) is not None), None)
    column = found or _alone(values)
    return None if column is None else {"prompt": column}


def _alone(values: Mapping[str, Any]) -> str | None:
    (name, value), *more = [*values.items(), ("", None)]
    known = len(more) != 1 or name.casefold() in _TEXT or not isinstance(value, str)
    return None if known else name


def _text(values: Mapping[str, Any]) -> dict[str, str] | None:
    found = next((c for name in _TEXT if (c := column_in(values, name)) is not None), None)
    return None if found is None or not isinstance(values[found], str) else {"prompt": found}


PROMPTS = Shape("prompts", "a prompt without an answer", _columns, pair, answered=False)
TEXT = Shape("text", "text without turns", _text, pair, answered=False)
