"""Texts of a row, checked: what is no text, empty or broken is an error that names its place."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.errors import DataError
from holdfast.files.guarded.documents import json_of

__all__ = ["column_in", "few", "is_blank", "kind_of", "missing_text", "parsed", "text_of", "whole"]


def column_in(values: Mapping[str, Any], name: str) -> str | None:
    """Return the column of this name: as it is written, or else the only one but for capitals."""
    if name in values:
        return name
    folded = [column for column in values if column.casefold() == name]
    return folded[0] if len(folded) == 1 else None


def is_blank(value: Any) -> bool:
    """Tell whether a cell holds nothing."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def few(names: Iterable[str], most: int = 20, longest: int = 60) -> str:
    """Return the names of columns for a person: of many the first, and of long ones the beginning.

    A file may have thousands of columns, and names as long as it likes.
    """
    cut = [each if len(each) <= longest else f"{each[: longest - 3]}..." for each in names]
    more = [f"{len(cut) - most:,} more"] if len(cut) > most else []
    return ", ".join((*cut[:most], *more)) or "none"


def text_of(value: Any, row: RawRow, column: str) -> str:
    """Return ``value``, which must be text with something in it.

    Raises:
        DataError: It is not; names the row, and ``column``, quoted where it is one word.
    """
    name = column if " " in column else repr(column)
    if not isinstance(value, str):
        raise DataError(f"{row.place}: {name} is {kind_of(value)}: expected text")
    if not value.strip():
        raise missing_text(row, name)
    return whole(value, row, name)


def missing_text(row: RawRow, name: str) -> DataError:
    """Return the error of a text that is empty."""
    return DataError(f"{row.place}: {name} is empty: fill it in or remove the row")


def whole(value: str, row: RawRow, name: str) -> str:
    """Return ``value``, whose characters must all be whole."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        said = f"half of a surrogate pair (character {error.start + 1}): write the character whole"
        raise DataError(f"{row.place}: {name} has {said}") from error
    return value


def parsed(value: Any, row: RawRow, name: str, wanted: str) -> Any:
    """Return the JSON value of a text that must be one, as tables and some files hold lists.

    Raises:
        DataError: It is not JSON; ``wanted`` says what is expected.
    """
    try:
        return json_of(value)
    except (json.JSONDecodeError, ValueError) as error:
        raise DataError(f"{row.place}: {name} is no valid JSON: expected {wanted}") from error


def kind_of(value: object) -> str:
    """Return what a value is, in words."""
    names: dict[type, str] = {
        type(None): "null", bool: "a boolean", int: "a number", float: "a number",
        str: "text", list: "a list", dict: "an object",
    }  # fmt: skip
    return names.get(type(value), type(value).__name__)
