"""What a shape of rows must be: which columns it has, and which messages a row of it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.message import Message, messages_in
from holdfast.data.shapes.texts import column_in
from holdfast.errors import DataError, HoldfastError

__all__ = ["GROUP", "Shape", "column_in", "columns_in", "found_in", "messages_of", "shape_fault"]

GROUP = "holdfast.shapes"


@dataclass(frozen=True)
class Shape:
    """One way in which the rows of a file hold conversations."""

    name: str
    """The name of its entry point."""
    says: str
    """What a row of it is, in a few words."""
    columns: Callable[[Mapping[str, Any]], dict[str, str] | None]
    """Given a row's values by column, returns which column holds what, such as
    ``{"prompt": "goal", "completion": "target"}``; None where the row has another shape."""
    messages: Callable[[RawRow, Mapping[str, str]], list[Message]]
    """Returns the messages of a row, the answer last, or raises ``DataError``. What ``columns``
    found is given; without a ``completion`` in it the answer is not asked for."""
    answered: bool = True
    """Whether the rows have answers."""
    note: str = ""
    """What is told of a file of examples in this shape: what of it is not trained on."""


def columns_in(values: Mapping[str, Any], **wanted: str) -> dict[str, str] | None:
    """Return the columns that hold what is wanted, None unless all are there."""
    found = {what: column_in(values, name) for what, name in wanted.items()}
    there = {what: column for what, column in found.items() if column is not None}
    return there if len(there) == len(wanted) else None


def found_in(given: Shape, values: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the columns that an installed shape finds in a row, None where it has another shape.

    Raises:
        DataError: It fails, or finds what is no column.
    """
    said = f"the installed shape {given.name}: columns"
    try:
        found: Any = given.columns(values)
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{said} fails ({why}); mend the shape or uninstall it") from error
    if found is None:
        return None
    if not isinstance(found, dict) or not found or set(found.values()) - values.keys():
        raise DataError(f"{said} gives {repr(found)[:60]}, and not columns of the row; mend it")
    return found


def messages_of(given: Shape, row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    """Return the messages that an installed shape makes of a row, each checked.

    Raises:
        DataError: They are no messages, or it fails with an error that tells nothing.
    """
    said = f"{row.place}: the installed shape {given.name}: messages"
    try:
        found: Any = given.messages(row, columns)
    except HoldfastError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{said} fails ({why}); check the row") from error
    if not isinstance(found, list):
        raise DataError(f"{said} gives a {type(found).__name__}, not a list; mend the shape")
    return messages_in(found, f"the shape {given.name}", row)


def shape_fault(given: Any, name: str = "") -> str:
    """Return which member of a shape is wrong and how to mend it, or ""; no row is read."""
    if not isinstance(given, Shape):
        return "it is no Shape; declare an object, MODULE:NAME with NAME = Shape(...)"
    if name and given.name != name:
        return f"name is {given.name!r}; give it the entry point's, {name!r}"
    says: Any = given.says
    if not (isinstance(says, str) and says.strip()):
        return f"says is {says!r}; give a few words on what a row is"
    for member in ("columns", "messages"):
        if not callable(getattr(given, member)):
            return f"{member} is {getattr(given, member)!r}; give a function"
    return ""
