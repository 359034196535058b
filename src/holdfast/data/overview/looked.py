"""A source read to its end, whatever is wrong with single rows of it."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from holdfast.data.examples import check_mapping, to_example
from holdfast.data.formats import RawRow
from holdfast.data.kits import is_kit
from holdfast.data.prompts import to_question
from holdfast.data.rows import Rows
from holdfast.data.shapes import shape_of
from holdfast.data.shapes.reader import ShapeReader
from holdfast.data.unread import Unread
from holdfast.data.unwanted import Unwanted
from holdfast.errors import DataError

__all__ = ["Looked", "look_through"]


@dataclass
class Looked:
    """What was read of a source.

    Attributes:
        rows: The source, with its files and their shapes.
        answered: Whether its rows are examples; else they are prompts alone.
        examples: Examples, or prompts with an empty ``completion``.
        bad: Number of each row that cannot be read, and why.
        notes: What of it is not read.
    """

    rows: Rows
    answered: bool
    examples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    bad: dict[int, str] = field(default_factory=dict[int, str])
    notes: list[str] = field(default_factory=list[str])

    def held(self) -> dict[str, int]:
        """Return how many rows hold what a plain question and answer do not."""
        found: Counter[str] = Counter()
        for example in self.examples:
            found.update(_held(example))
        return {name: found[name] for name in _NAMES if found[name]}


_NAMES = (
    "system message", "several answers", "tools", "calls of tools", "reasoning",
    "answers of weight 0",
)  # fmt: skip


def _held(example: Mapping[str, Any]) -> set[str]:
    rich: Any = json.loads(example.get("rich") or "{}")
    messages = rich.get("messages") or [*example["prompt"], *example["completion"]]
    fields = {name for message in messages for name in message}
    roles = [message["role"] for message in messages]
    told = {
        "system message": "system" in roles,
        "several answers": roles.count("assistant") > 1,
        "tools": bool(rich.get("tools")),
        "calls of tools": "tool_calls" in fields,
        "reasoning": "reasoning_content" in fields,
        "answers of weight 0": "weight" in fields,
    }
    return {name for name, there in told.items() if there}


def look_through(
    source: str, columns: Mapping[str, str] | None, split: str = "train", limit: int | None = None
) -> Looked:
    """Return all rows of a source that can be read, as examples or, without answers, as prompts.

    Raises:
        DataError: The source cannot be read, or no row of it can.
        ConfigError: ``columns`` is not usable.
    """
    if is_kit(source):
        columns = None
    if columns and not {"completion", "messages"} & set(columns):
        return _whole(source, columns, split, limit, answered=False)
    check_mapping(columns, source)
    first = next(iter(Rows(source, columns, split)), None)
    if first is None:
        raise DataError(f"{source}: has no rows: expected at least one")
    shape = shape_of(first[0].values)
    if not columns and shape is not None and not shape.answered:
        return _whole(source, columns, split, limit, answered=False)
    try:
        return _whole(source, columns, split, limit, answered=True)
    except DataError as error:
        if shape is None or "messages" not in (shape.columns(first[0].values) or {}):
            raise
        try:  # Conversations that nobody has answered are questions.
            return _whole(source, columns, split, limit, answered=False)
        except DataError:
            raise error from None


def _whole(
    source: str, columns: Mapping[str, str] | None, split: str, limit: int | None, *, answered: bool
) -> Looked:
    rows, unread = Rows(source, columns, split, answers=answered), Unread()
    unwanted = Unwanted(source)
    found = Looked(rows, answered)
    for row, reader in islice(rows, limit):
        try:
            example = _read(row, reader, answered=answered)
            left_out = answered and unwanted.has(row, reader)
            unread.see(row, reader.read(row) | unwanted.columns)
            if not left_out:
                found.examples.append(example)
        except DataError as error:
            found.bad[row.number] = str(error)
    told = unwanted.notes()
    if not found.examples:
        raise DataError(next(iter(found.bad.values()), f"{source}: has no rows"))
    found.notes = [*rows.told(), *told, *unread.notes()]
    return found


def _read(row: RawRow, reader: ShapeReader, *, answered: bool) -> dict[str, Any]:
    if answered:
        return to_example(row, reader.messages(row), reader.columns)
    return to_question(row, reader)
