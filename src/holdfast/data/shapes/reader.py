"""Reads the rows of one file, which all have one shape: that of its first row."""

from collections.abc import Mapping

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes import MAPPED, SHAPES, Shape, columns_of, shape_of
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.pairs import beside
from holdfast.data.shapes.protocol import column_in, messages_of
from holdfast.data.shapes.texts import few
from holdfast.data.shapes.tools import TOOLS
from holdfast.errors import DataError, nearest

__all__ = ["EFFECTLESS", "EXTRA", "SYSTEM", "ShapeReader"]

EXTRA = ("id", "category", "reference")
"""Columns that pass through, as strings."""
SYSTEM = ("system", "system_prompt")
"""Columns that hold the system message of a row."""
EFFECTLESS = ("parallel_tool_calls",)
"""Columns that say how answers are made and nothing of the text."""
_ANSWERS = frozenset({
    "completion", "answer", "target", "output", "response", "solution", "targets", "chosen",
    "rejected",
})  # fmt: skip
"""Columns that files of questions may well have, and that nobody misses."""


_OURS = frozenset({"prompt", "completion", "messages", *EXTRA, *SYSTEM, *TOOLS})


class ShapeReader:
    """Reads one file's rows.

    Attributes:
        shape: The shape that was found, None before the first row.
        columns: Which column holds what.
    """

    def __init__(self, given: Mapping[str, str] | None, *, answers: bool) -> None:
        self.shape: Shape | None = MAPPED if given else None
        self.columns: dict[str, str] = dict(given or {})
        self._given, self._answers, self._before = bool(given), answers, ""

    def messages(self, row: RawRow) -> list[Message]:
        """Return the messages of a row.

        Raises:
            DataError: The row has no shape that is known, or another one than the rows before it;
                or what it holds cannot be used.
        """
        shape = self.shape = self.shape or self._found(row)
        missing = [name for name in self._needed() if name not in row.values]
        if missing:
            raise self._mixed(row, shape) or _missing(row, missing[0])
        self._before = self._before or row.place
        if shape.name in SHAPES.own or shape is MAPPED:
            return shape.messages(row, self.columns)
        return messages_of(shape, row, self.columns)

    def read(self, row: RawRow) -> frozenset[str]:
        """Return the columns of a row that are read, or that nobody misses."""
        named = {
            name: column_in(row.values, name) for name in (*SYSTEM, *EXTRA, *EFFECTLESS, *TOOLS)
        }
        if isinstance(row.values.get(named["reference"] or ""), list | dict):
            named.pop("reference")  # Of several answers none is read.
        for name in () if self._answers else TOOLS:
            named.pop(name)  # Questions are asked as text alone.
        known = {*self.columns.values(), *(column for column in named.values() if column)}
        known |= set(beside(row.values, self.columns.get("prompt", "")))
        known |= set() if self._answers else {c for c in row.values if c.casefold() in _ANSWERS}
        return frozenset(known) & row.values.keys()

    def _needed(self) -> list[str]:
        return [column for what, column in self.columns.items() if what not in EXTRA]

    def _found(self, row: RawRow) -> Shape:
        shape = shape_of(row.values, answers=self._answers)
        if shape is None or (self._answers and not shape.answered):
            raise _no_answers(row, shape) if self._answers else _no_prompt(row)
        found = dict(columns_of(shape, row.values) or {})
        if not self._answers:  # Whatever stands beside a prompt is left alone.
            found = {what: column for what, column in found.items() if what != "completion"}
        self.columns = found
        return shape

    def _mixed(self, row: RawRow, shape: Shape) -> DataError | None:
        """Return the error of a row that has another shape than those before it."""
        other = shape_of(row.values, answers=self._answers)
        bare = other is not None and self._answers and not other.answered
        if self._given or other is None or bare or not self._before:
            return None  # The column that is missing says more.
        columns = ", ".join(repr(c) for c in (columns_of(other, row.values) or {}).values())
        own = ", ".join(repr(c) for c in self.columns.values())
        return DataError(
            f"{row.place}: has the shape {other.name} ({columns}), and the rows before it have the "
            f"shape {shape.name} ({own}): a file holds rows of one shape: split it"
        )


def _no_prompt(row: RawRow) -> DataError:
    """Return the error of a row of which a prompt alone is wanted, and that has none."""
    told = _missing(row, "prompt", "prompt=NAME")
    return DataError("; ".join([str(told), *SHAPES.unusable().values()]))


def _no_answers(row: RawRow, shape: Shape | None) -> DataError:
    if shape is None:
        known = {name.casefold() for name in row.values}
        told = _missing(row, "prompt" if known & {"completion"} else "completion")
        return DataError("; ".join([str(told), *SHAPES.unusable().values()]))
    column = next(iter((columns_of(shape, row.values) or {"": ""}).values()))
    if shape.name == "text":
        return DataError(
            f"{row.place}: {column!r} holds text without turns, as for pretraining: give prompts "
            "with answers (prompt and completion, or messages)"
        )
    told = _missing(row, "completion")
    return DataError(f"{told}. The file has prompts ({column!r}) and no answers to them")


def _missing(row: RawRow, column: str, mapping: str = "prompt=NAME,completion=NAME") -> DataError:
    found = few(map(repr, row.values))
    # What has a name of ours is no misspelling of another.
    free = [name for name in row.values if name.casefold() not in _OURS]
    return DataError(
        f"{row.place}: column {column!r} is missing (columns found: {found})."
        f"{nearest(column, free)} Rename it or map it with `columns={mapping}`"
    )
