"""Prompts of a file whose rows may lack an answer; any answer beside them is left alone."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from holdfast.data.examples import PAIRS, read_columns, to_example
from holdfast.data.formats import RawRow
from holdfast.data.sources import is_kit, rows_in
from holdfast.data.unread import Unread
from holdfast.errors import ConfigError, DataError

__all__ = ["prompts_in", "prompts_with_notes"]

_NAMES = ("prompt", *dict.fromkeys(prompt for prompt, _ in PAIRS))
_NO_ANSWER = "no answer is read"
_ANSWERS = frozenset({"completion", *(completion for _, completion in PAIRS)})
"""Columns that files of questions may well have, and that nobody misses."""
_COLUMNS = ("prompt", "messages", "completion", "id", "category", "reference")


def prompts_in(
    path: str, columns: Mapping[str, str] | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return rows of ``prompt`` (messages), an empty ``completion`` and ``row``.

    Args:
        path: A .jsonl, .csv or .parquet file, or a hub id.
        columns: ``prompt`` or ``messages`` names the column of the prompts; by default it is
            ``messages``, ``prompt``, ``question``, ``goal`` or ``instruction``. A conversation
            that ends with an answer is cut before it.
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
    column = given.get("prompt") or given.get("messages")
    if (given and column is None) or set(given) - set(_COLUMNS):
        raise ConfigError(f"`columns` of {path}: give prompt=NAME or messages=NAME; given {given}")
    unread = Unread()
    rows = [_example(raw, column, unread) for raw in islice(rows_in(path), limit)]
    if not rows:
        raise DataError(f"{path}: has no rows: expected at least one prompt")
    found = [
        {"prompt": row["prompt"], "completion": [], "row": row.get("row") or number}
        for number, row in enumerate(rows, start=1)
    ]
    return found, unread.columns()


def _example(raw: RawRow, column: str | None, unread: Unread) -> dict[str, Any]:
    """Read one row's prompt; any answer beside it is left alone."""
    name = column or next((n for n in ("messages", *_NAMES) if n in raw.values), "prompt")
    if name not in raw.values:
        columns = ", ".join(map(repr, raw.values)) or "none"
        raise DataError(
            f"{raw.place}: column {name!r} is missing (columns found: {columns}): rename the "
            "column of the prompts, or name it with `columns=prompt=NAME`"
        )
    values = {**raw.values, name: _before_answer(raw.values[name]), _NO_ANSWER: "-"}
    row = RawRow(raw.number, raw.place, values)
    read = {"prompt": name, "completion": _NO_ANSWER}
    found = to_example(row, read)
    unread.see(row, read_columns(row, read) | _ANSWERS, found["prompt"])
    return found


def _before_answer(value: Any) -> Any:
    """Return a conversation without the answer that it ends with."""
    last: Any = value[-1] if isinstance(value, list) and value else None
    return value[:-1] if isinstance(last, Mapping) and last.get("role") == "assistant" else value
