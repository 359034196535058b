"""Tables as text, with a header: the delimiter is found; quoted fields may hold line ends."""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from holdfast.data.formats.compressed import suffix_of
from holdfast.data.formats.encodings import encoding_of, not_utf8, text_opened
from holdfast.data.formats.json_lines import MOST_LINE
from holdfast.data.formats.protocol import Format, RawRow
from holdfast.errors import DataError

__all__ = ["CSV", "DELIMITERS", "delimiter_of"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between the fields of a table, the usual ones first."""
_SEP = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)
LOOKED_AT = 6
"""Records that the delimiter is found by, with the header."""


def delimiter_of(path: Path) -> str:
    """Return what stands between the fields of a table.

    It is what Excel's own first line declares (``sep=;``); else what gives the first records as
    many fields as the header, and the header most; where none gives it two, a comma, or in a
    ``.tsv`` a tab.
    """
    with text_opened(path) as file, suppress(UnicodeDecodeError):
        if declared := _declared(file.readline()):
            return declared
    usual = "\t" if suffix_of(path) == ".tsv" else ","
    order = sorted(DELIMITERS, key=lambda each: each != usual)
    return max(order, key=lambda each: _fit(path, each))


def _fit(path: Path, delimiter: str) -> tuple[bool, int]:
    """Return whether records have as many fields as the header, and how many it has."""
    count = 0
    with text_opened(path) as file:
        try:
            records = _records(file, delimiter, blanks=_has_blanks(path, delimiter))
            for record in islice(records, LOOKED_AT):
                count = count or len(record)
                if record and len(record) != count:
                    return False, count
        except (csv.Error, UnicodeDecodeError):
            return False, count  # Whoever reads the rows says what is wrong.
    return count > 1, count


def _has_blanks(path: Path, delimiter: str) -> bool:
    """Tell whether a blank stands behind each delimiter, as in ``prompt, completion``."""
    with text_opened(path) as file:
        try:
            header = next(filter(None, _records(file, delimiter, blanks=False)), [])
        except (csv.Error, UnicodeDecodeError):
            return False
    return len(header) > 1 and all(name.startswith(" ") for name in header[1:])


def _records(file: Any, delimiter: str, *, blanks: bool) -> Any:
    """Return the records; ``blanks`` in front of fields are none of their text."""
    # The module's own limit of 128 KiB a field would refuse long answers. It holds for the process.
    csv.field_size_limit(max(csv.field_size_limit(), MOST_LINE))
    return csv.reader(_lines(file), strict=True, delimiter=delimiter, skipinitialspace=blanks)


def _lines(file: Any) -> Iterator[str]:
    for first in file:
        # An empty line is no record, and lines are counted as the file has them.
        yield "\n" if _declared(first) else first
        break
    yield from file


def _declared(line: str) -> str:
    """Return the delimiter that Excel's own first line declares, or ""."""
    found = _SEP.fullmatch(line.rstrip("\r\n"))
    return found[1] if found else ""


def _read(path: Path) -> Iterator[RawRow]:
    delimiter = delimiter_of(path)
    # Line ends inside quotes are left to the csv module, as its manual asks.
    with text_opened(path) as file:
        reader = _records(file, delimiter, blanks=_has_blanks(path, delimiter))
        number, line = 0, 1
        try:
            header = _header(path, next(filter(None, reader), []))
            line = reader.line_num + 1
            for fields in reader:
                if fields:
                    number += 1
                    place = f"{path}, row {number} (line {line})"
                    yield RawRow(number, place, _zipped(header, fields, place, delimiter))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}, row {number + 1} (line {line}): is not valid CSV ({error}): "
                "close every quote and double a quote inside a quoted field"
            ) from error
        except UnicodeDecodeError as error:
            raise not_utf8(f"{path}, row {number + 1} or after", path, error) from error


def _header(path: Path, header: list[str]) -> list[str]:
    """Return the names of the columns; one that has none, as row numbers often have, gets one."""
    names = [name.strip() or f"column {n}" for n, name in enumerate(header, start=1)]
    if doubles := {name for name in names if names.count(name) > 1}:
        said = f"the column {min(doubles)!r} stands twice in the header: rename one"
        raise DataError(f"{path}, line 1: {said}")
    return names


def _zipped(header: list[str], fields: list[str], place: str, delimiter: str) -> dict[str, Any]:
    if len(fields) != len(header):
        said = f"has {len(fields)} fields and the header has {len(header)}"
        name = DELIMITERS[delimiter].removesuffix("s")
        raise DataError(f"{place}: {said}: quote fields that contain a {name}")
    return dict(zip(header, fields, strict=True))


def _how(path: Path) -> str:
    encoding = encoding_of(path)
    coded = "" if encoding == "utf-8" else f", {encoding.removesuffix('-sig').upper()} by its mark"
    return f"a table as text, {DELIMITERS[delimiter_of(path)]} between its fields{coded}"


CSV = Format("csv", (".csv", ".tsv"), _read, _how)
