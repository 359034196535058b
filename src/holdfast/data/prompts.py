"""Prompts of a file whose rows may lack an answer; any answer beside them is left alone."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from holdfast.data.examples import TARGETS, plain, with_system
from holdfast.data.formats import RawRow
from holdfast.data.kits import is_kit
from holdfast.data.rows import Rows
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.reader import ShapeReader
from holdfast.data.shapes.texts import column_in, is_blank
from holdfast.data.unread import Unread
from holdfast.errors import ConfigError, DataError

__all__ = ["prompts_in", "prompts_with_notes", "to_question"]


def prompts_in(
    path: str, columns: Mapping[str, str] | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return rows of ``prompt`` (messages), an empty ``completion``, ``row``, maybe ``category``.

    Args:
        path: A data file in any known format, or a hub id.
        columns: ``prompt`` or ``messages`` names the column of the prompts; by default it is
            ``messages``, ``prompt``, ``question``, ``goal``, ``instruction`` or the like, or the
            only one there is. A conversation that ends with an answer is cut before it.
        limit: Most rows to read.

    Raises:
        DataError: The source cannot be read or a row is malformed.
        ConfigError: ``columns`` names no column of prompts.
    """
    return prompts_with_notes(path, columns, limit)[0]


def prompts_with_notes(
    path: str, columns: Mapping[str, str] | None = None, limit: int | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the prompts, as ``prompts_in`` does, and which columns of the file were not read."""
    given = {} if is_kit(path) else dict(columns or {})
    named = {name: given[name] for name in ("prompt", "messages") if name in given}
    if (given and not named) or set(given) - set(TARGETS):
        raise ConfigError(f"`columns` of {path}: give prompt=NAME or messages=NAME; given {given}")
    unread = Unread()
    rows = Rows(path, named, answers=False)
    found: list[dict[str, Any]] = []
    for row, reader in islice(rows, limit):
        found.append(to_question(row, reader))
        unread.see(row, reader.read(row))
    if not found:
        raise DataError(f"{path}: has no rows: expected at least one prompt")
    return found, [*rows.notes, *unread.notes()]


def to_question(row: RawRow, reader: ShapeReader) -> dict[str, Any]:
    """Return one row's prompt; any answer beside it is left alone.

    Raises:
        DataError: The row holds no prompt, or one with a call of a tool.
    """
    messages = with_system(_before_answer(reader.messages(row)), row, reader.columns)
    if messages[-1]["role"] not in ("user", "tool"):
        column = next(iter(reader.columns.values()))
        raise DataError(f"{row.place}: {column!r} has no user message right before the answer")
    if any("tool_calls" in message for message in messages):
        said = "holds a call of a tool, and questions are asked as text alone: remove the row"
        raise DataError(f"{row.place}: {said}")
    named = reader.columns.get("category") or column_in(row.values, "category")
    kind = None if named is None else row.values.get(named)
    told = {} if is_blank(kind) else {"category": " ".join(str(kind).split())}
    return {"prompt": plain(messages), "completion": [], "row": row.number, **told}


def _before_answer(messages: list[Message]) -> list[Message]:
    """Return a conversation without the answer that it ends with."""
    return messages[:-1] if len(messages) > 1 and messages[-1]["role"] == "assistant" else messages
