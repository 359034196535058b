"""CSV with a header; quoted fields may have line ends in them."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.data.formats.protocol import Format, RawRow
from holdfast.errors import DataError

__all__ = ["CSV"]


def _read(path: Path) -> Iterator[RawRow]:
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
            said = f"{path}, row {number + 1} or after: is not UTF-8: save the file as UTF-8"
            raise DataError(said) from error


def _require_header(path: Path, header: list[str]) -> None:
    if doubles := {name for name in header if header.count(name) > 1}:
        said = f"the column {min(doubles)!r} stands twice in the header: rename one"
        raise DataError(f"{path}, line 1: {said}")


def _zipped(header: list[str], fields: list[str], place: str) -> dict[str, Any]:
    if len(fields) != len(header):
        said = f"has {len(fields)} fields and the header has {len(header)}"
        raise DataError(f"{place}: {said}: quote fields that contain a comma")
    return dict(zip(header, fields, strict=True))


CSV = Format("csv", (".csv",), _read)
