"""Raw rows of a JSONL, CSV or Parquet file or of a hub data set, each with its row number.

Row numbers start at 1. In JSONL they are the line's number; in CSV the header is not a row, and
``place`` adds the line where the two differ.
"""

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset
from huggingface_hub import constants

from holdfast.errors import DataError

__all__ = ["FORMATS", "RawRow", "is_hub_id", "read_rows"]

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")


@dataclass(frozen=True)
class RawRow:
    """One row as the file has it."""

    number: int
    """The row's number, from 1."""
    place: str
    """What an error calls the row: the file and the row's number."""
    values: dict[str, Any]
    """Column name to value."""


def is_hub_id(source: str) -> bool:
    """Tell whether ``source`` reads as ``owner/name`` or ``owner/name:config`` on the hub.

    A local file always wins, and what looks like a path (a data file's suffix, a first part that
    is a local folder) is never taken for a hub id: a misspelt path must not reach the network.
    """
    path = Path(source)
    if path.exists() or path.suffix.lower() in (*FORMATS, ".tsv", ".txt", ".arrow", ".gz", ".zip"):
        return False
    owner = source.partition("/")[0]
    return bool(_HUB_ID.fullmatch(source)) and not Path(owner).exists()


def read_rows(source: str, split: str = "train") -> Iterator[RawRow]:
    """Yield the rows of a file, or of a hub data set's ``split``.

    Raises:
        DataError: The file is missing, empty, of an unknown format or malformed (naming the row),
            or the hub data set cannot be loaded.
    """
    if is_hub_id(source):
        return _hub(source, split)
    path = Path(source)
    _require_file(path)
    readers = {".jsonl": _jsonl, ".json": _jsonl, ".csv": _csv, ".parquet": _parquet}
    return readers[path.suffix.lower()](path)


def _require_file(path: Path) -> None:
    """Raise unless ``path`` is a readable, non-empty file of a known format."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder: give one {', '.join(FORMATS)} file")
    if not path.is_file():
        raise DataError(
            f"{path}: file not found: check the path (a hub data set is given as owner/name)"
        )
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: unknown format {path.suffix!r}: give {', '.join(FORMATS)}")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read: check its permissions")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty: expected at least one row")


def _jsonl(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            place = f"{path}, row {number}"
            line = _decoded(raw, place)
            if line.strip():
                yield RawRow(number, place, _json_object(line, place))


def _decoded(raw: bytes, place: str) -> str:
    try:
        return raw.decode("utf-8-sig" if place.endswith("row 1") else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place}: is not UTF-8 (byte {error.start + 1}): save the file as UTF-8"
        ) from error


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        hint = "write one JSON object per line"
        if line.strip() in ("[", "{"):
            hint = "this is a JSON document over several lines: write one JSON object per line"
        raise DataError(
            f"{place}: is not valid JSON ({error.msg} at character {error.pos + 1}): {hint}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: is not usable JSON: a number or its nesting is too large") from (
            error
        )
    if not isinstance(value, dict):
        raise DataError(f"{place}: is a JSON {_kind(value)}: write one JSON object per line")
    return value


def _csv(path: Path) -> Iterator[RawRow]:
    # ``newline=""`` leaves line ends inside quotes to the csv module, as its manual asks.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        number, line = 0, 1
        try:
            header = next(reader, [])
            _require_header(path, header)
            line = reader.line_num + 1
            for fields in reader:
                if fields:
                    number += 1
                    place = f"{path}, row {number} (line {line})"
                    yield RawRow(number, place, _zipped(header, fields, place))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}, row {number + 1} (line {line}): is not valid CSV ({error}): "
                "close every quote and double a quote inside a quoted field"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, row {number + 1} or after: is not UTF-8: save the file as UTF-8"
            ) from error


def _require_header(path: Path, header: list[str]) -> None:
    doubles = {name for name in header if header.count(name) > 1}
    if doubles:
        raise DataError(
            f"{path}, line 1: the column {min(doubles)!r} stands twice in the header: rename one"
        )


def _zipped(header: list[str], fields: list[str], place: str) -> dict[str, Any]:
    if len(fields) != len(header):
        raise DataError(
            f"{place}: has {len(fields)} fields and the header has {len(header)}: "
            "quote fields that contain a comma"
        )
    return dict(zip(header, fields, strict=True))


def _parquet(path: Path) -> Iterator[RawRow]:
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for values in batch.to_pylist():
                    number += 1
                    yield RawRow(number, f"{path}, row {number}", values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a readable Parquet file: write it again") from error


def _hub(source: str, split: str) -> Iterator[RawRow]:
    """Yield a hub data set's rows; the one place here that may reach the network."""
    name, _, config = source.partition(":")
    try:
        rows = load_dataset(name, config or None, split=split)
    except Exception as error:
        # The hub's client raises dozens of types (offline, not found, gated, no such config).
        raise DataError(_hub_message(source, split, error)) from error
    for number, values in enumerate(rows, start=1):
        yield RawRow(number, f"{source} ({split}), row {number}", dict(values))


def _hub_message(source: str, split: str, error: Exception) -> str:
    if constants.HF_HUB_OFFLINE:
        return (
            f"{source}: is no local file, and HF_HUB_OFFLINE=1 forbids the hub: "
            "unset HF_HUB_OFFLINE or give a local file"
        )
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    return f"{source}: the hub data set's split {split!r} cannot be loaded: {reason}"


def _kind(value: object) -> str:
    names: dict[type, str] = {list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "literal")
