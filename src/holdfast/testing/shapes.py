"""The suite of a shape of rows: its members, rows of it read, others left alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.data.formats import RawRow
from holdfast.data.shapes import Shape
from holdfast.data.shapes.protocol import messages_of, shape_fault
from holdfast.errors import DataError
from holdfast.testing.runs import require

__all__ = ["check_shape"]


def check_shape(
    given: Shape,
    examples: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
) -> None:
    """Run the suite on a shape.

    Args:
        given: The shape.
        examples: The values of rows by column, each with the messages that are in it.

    Raises:
        AssertionError: It breaks the protocol; names the member and what is wrong.
    """
    wrong = shape_fault(given)
    require(not wrong, f"{getattr(given, 'name', given)}: {wrong}")
    require(examples, f"{given.name}: no example was given; give values and messages")
    require(_columns(given, {}) is None, f"{given.name}: columns takes a row without columns")
    for number, (values, wanted) in enumerate(examples, start=1):
        columns = _columns(given, values)
        named = isinstance(columns, dict) and set(columns.values()) <= values.keys()
        require(columns and named, f"{given.name}: columns gives {columns} for row {number}")
        try:
            found = messages_of(given, RawRow(number, f"row {number}", dict(values)), columns or {})
        except DataError as error:
            raise AssertionError(f"{given.name}: {error}") from error
        require(found == list(wanted), f"{given.name}: messages gives {found}, not {list(wanted)}")


def _columns(given: Shape, values: Mapping[str, Any]) -> dict[str, str] | None:
    try:
        return given.columns(values)
    except Exception as error:
        said = f"{given.name}: columns ends in {error!r} on the columns {list(values)}"
        raise AssertionError(said) from error
