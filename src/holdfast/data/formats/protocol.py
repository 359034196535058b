"""What a format of data files must be, and the raw rows that it reads.

Row numbers start at 1. In JSONL they are the line's number; in CSV the header is not a row, and
``place`` adds the line where the two differ.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import DataError, HoldfastError

__all__ = ["GROUP", "Format", "RawRow", "format_fault", "rows_of"]

GROUP = "holdfast.formats"


@dataclass(frozen=True)
class RawRow:
    """One row as the file has it."""

    number: int
    """The row's number, from 1."""
    place: str
    """What an error calls the row: the file and the row's number."""
    values: dict[str, Any]
    """Column name to value."""
    beside: tuple[str, ...] = ()
    """Names of what the file holds beside its rows, which nothing reads."""


@dataclass(frozen=True)
class Format:
    """Reads files with certain suffixes."""

    name: str
    """The name of its entry point."""
    suffixes: tuple[str, ...]
    """Ends of file names that are this format's, in small letters, such as ``.jsonl``."""
    read: Callable[[Path], Iterator[RawRow]]
    """Yields the rows of a file that exists and is not empty, or raises ``DataError``."""
    how: Callable[[Path], str] | None = None
    """Says how a file is read, such as what stands between its fields, for ``holdfast data``."""


def format_fault(given: Any, name: str = "") -> str:
    """Return which member of a format is wrong and how to mend it, or ""; no file is read."""
    if not isinstance(given, Format):
        return "it is no Format; declare an object, MODULE:NAME with NAME = Format(...)"
    if name and given.name != name:
        return f"name is {given.name!r}; give it the entry point's, {name!r}"
    ends: Any = given.suffixes
    if not (isinstance(ends, tuple) and ends and all(map(_is_suffix, ends))):
        return f"suffixes is {ends!r}; give a tuple of ends in small letters such as ('.jsonl',)"
    if not callable(given.read):
        return f"read is {given.read!r}; give a function of the path that yields RawRow"
    return ""


def _is_suffix(end: Any) -> bool:
    return isinstance(end, str) and end[:1] == "." and len(end) > 1 and end == end.lower()


def rows_of(given: Format, path: Path) -> Iterator[RawRow]:
    """Yield the rows of an installed format, each checked.

    Raises:
        DataError: ``read`` yields what is no row, or fails with an error that tells nothing.
    """
    said, last = f"{path}: the installed format {given.name}: read", 0
    try:
        for row in given.read(path):
            wrong = _wrong_with(row, last)
            if wrong:
                raise DataError(f"{said} yields {wrong} after row {last}; mend the format")
            last = row.number
            yield row
    except HoldfastError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{said} fails after row {last} ({why}); check the file") from error


def _wrong_with(row: Any, last: int) -> str:
    if not isinstance(row, RawRow):
        return f"a {type(row).__name__}, not a RawRow,"
    number, values = row.number, row.values
    if not (isinstance(number, int) and number > last):  # type: ignore[reportUnnecessaryIsInstance]
        return f"the number {number!r}, not one above,"
    if not (isinstance(values, dict) and all(isinstance(key, str) for key in values)):  # type: ignore[reportUnnecessaryIsInstance]
        return "values that are no columns by name"
    return ""
