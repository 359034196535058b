"""Lines of a JSON file: each that is not blank, and the object that it must be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from holdfast.data.formats.encodings import not_utf8
from holdfast.errors import DataError
from holdfast.files.guarded.documents import TwiceError, json_of

__all__ = ["MOST_LINE", "json_kind", "json_object", "lines"]

MOST_LINE = 2**26
"""Bytes of the longest row that is read."""


def lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank.

    Raises:
        DataError: A line is not UTF-8, or longer than ``MOST_LINE``.
    """
    for number, raw in enumerate(iter(lambda: file.readline(MOST_LINE + 1), b""), start=1):
        place = f"{path}, row {number}"
        if len(raw) > MOST_LINE:
            said = f"has more than {MOST_LINE // 2**20} MiB: write one row a line"
            raise DataError(f"{place}: {said}")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(place, path, error) from error
        if line.strip():
            yield number, line


def json_object(line: str, place: str) -> dict[str, Any]:
    """Return the object that a line is.

    Raises:
        DataError: It is none; names ``place``.
    """
    try:
        value = json_of(line, once=True)
    except json.JSONDecodeError as error:
        several = line.strip() in ("[", "{")
        hint = "this is a JSON document over several lines: " if several else ""
        said = f"is not valid JSON ({error.msg} at character {error.pos + 1})"
        raise DataError(f"{place}: {said}: {hint}write one JSON object per line") from error
    except TwiceError as error:
        raise DataError(f"{place}: {error}: keep one") from error
    except ValueError as error:
        said = f"{place}: is not usable JSON: a number or its nesting is too large"
        raise DataError(said) from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: is a JSON {json_kind(value)}: write one JSON object per line")
    return value


def json_kind(value: object) -> str:
    """Return what a JSON value is called."""
    names: dict[type, str] = {
        dict: "object", list: "array", str: "string", int: "number", float: "number"
    }  # fmt: skip
    return names.get(type(value), "literal")
