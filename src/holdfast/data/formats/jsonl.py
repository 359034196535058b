"""JSONL: one JSON object per line; blank lines are skipped and counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.data.formats.protocol import Format, RawRow
from holdfast.errors import DataError
from holdfast.files.guarded.documents import json_of

__all__ = ["JSONL"]

MOST_LINE = 2**26
"""Bytes of the longest row that is read."""


def _read(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MOST_LINE + 1), b""), start=1):
            place = f"{path}, row {number}"
            if len(raw) > MOST_LINE:
                said = f"has more than {MOST_LINE // 2**20} MiB: write one row a line"
                raise DataError(f"{place}: {said}")
            line = _decoded(raw, place)
            if line.strip():
                yield RawRow(number, place, _json_object(line, place))


def _decoded(raw: bytes, place: str) -> str:
    try:
        return raw.decode("utf-8-sig" if place.endswith("row 1") else "utf-8")
    except UnicodeDecodeError as error:
        said = f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8"
        raise DataError(f"{place}: {said}") from error


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        value = json_of(line)
    except json.JSONDecodeError as error:
        several = line.strip() in ("[", "{")
        hint = "this is a JSON document over several lines: " if several else ""
        said = f"is not valid JSON ({error.msg} at character {error.pos + 1})"
        raise DataError(f"{place}: {said}: {hint}write one JSON object per line") from error
    except ValueError as error:
        said = f"{place}: is not usable JSON: a number or its nesting is too large"
        raise DataError(said) from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: is a JSON {_kind(value)}: write one JSON object per line")
    return value


def _kind(value: object) -> str:
    names: dict[type, str] = {list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "literal")


JSONL = Format("jsonl", (".jsonl", ".json"), _read)
