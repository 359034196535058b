"""Tools that a conversation may call, and calls of them, in the one form that templates read.

``{"type": "function", "function": {"name": ..., "parameters": ...}}`` for a tool and
``{"type": "function", "function": {"name": ..., "arguments": {...}}}`` for a call, as
transformers' chat templates take them: arguments are an object, and not JSON in a text.
"""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.texts import column_in, is_blank, kind_of, parsed, text_of
from holdfast.errors import DataError

__all__ = ["TOOLS", "calls_of", "tools_of"]

TOOLS = ("tools", "functions")
"""Columns that hold the tools of a row; OpenAI's older files have ``functions``."""


def tools_of(row: RawRow) -> list[dict[str, Any]] | None:
    """Return the tools of a row, None where it has none.

    Raises:
        DataError: They are no list of tools with names, or there are two lists, which differ.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for column in (column_in(row.values, name) for name in TOOLS):
        if column is not None and not is_blank(value := row.values[column]):
            items = _listed(value, row, repr(column), "a list of tools")
            name = f"tool {{}} of {column!r}".format
            found[column] = [_tool(item, name(n), row) for n, item in enumerate(items, 1)]
    first, *others = found.values() or [None]
    if any(other != first for other in others):
        raise DataError(f"{row.place}: {' and '.join(map(repr, found))} differ: keep one")
    return first


def calls_of(value: Any, row: RawRow, name: str) -> list[dict[str, Any]]:
    """Return calls of tools, given as OpenAI has them or as ``{"name": ..., "arguments": ...}``.

    Raises:
        DataError: One has no name, or its arguments are no object.
    """
    wanted = 'a list of {"function": {"name": ..., "arguments": ...}}'
    items = _listed(value, row, name, wanted)
    return [_call(item, f"call {n} of {name}", row) for n, item in enumerate(items, start=1)]


def _listed(value: Any, row: RawRow, name: str, wanted: str) -> list[Any]:
    found = parsed(value, row, name, wanted) if isinstance(value, str) else value
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise DataError(f"{row.place}: {name} is {kind_of(found)}: expected {wanted}")
    return found


def _tool(item: Any, name: str, row: RawRow) -> dict[str, Any]:
    inner = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        wanted = 'must be {"type": "function", "function": {"name": ..., "parameters": ...}}'
        raise DataError(f"{row.place}: {name} {wanted}")
    bare = {key: value for key, value in inner.items() if key != "type"}
    return dict(item) if "function" in item else {"type": "function", "function": bare}


def _call(item: Any, name: str, row: RawRow) -> dict[str, Any]:
    inner = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(inner, Mapping) or "name" not in inner:
        wanted = 'must be {"function": {"name": ..., "arguments": ...}}'
        raise DataError(f"{row.place}: {name} {wanted}")
    called = text_of(inner["name"], row, f"the name of {name}")
    given = inner.get("arguments", inner.get("parameters"))
    function = {"name": called, "arguments": _arguments(given, f"the arguments of {name}", row)}
    known = {"id": item["id"]} if isinstance(item.get("id"), str) else {}
    return {**known, "type": "function", "function": function}


def _arguments(value: Any, name: str, row: RawRow) -> dict[str, Any]:
    if is_blank(value):
        return {}
    found = parsed(value, row, name, "an object") if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise DataError(f"{row.place}: {name} are {kind_of(found)}: expected an object")
    return found
