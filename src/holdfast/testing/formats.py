"""The suite of a data format: its members, good files read, a broken one refused."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.data.formats import Format
from holdfast.data.formats.protocol import format_fault, rows_of
from holdfast.errors import DataError
from holdfast.testing.runs import require

__all__ = ["check_format"]


def check_format(given: Format, examples: Mapping[Path, Sequence[Mapping[str, Any]]]) -> None:
    """Run the suite on a format.

    Args:
        given: The format.
        examples: Files, each with the values of the rows that are in it.

    Raises:
        AssertionError: It breaks the protocol; names the member and what is wrong.
    """
    wrong = format_fault(given)
    require(not wrong, f"{getattr(given, 'name', given)}: {wrong}")
    require(examples, f"{given.name}: no example was given; give a file and its rows")
    for path, wanted in examples.items():
        require(path.suffix in given.suffixes, f"{given.name}: suffixes lacks that of {path}")
        try:
            rows, again = list(rows_of(given, path)), list(rows_of(given, path))
        except DataError as error:
            raise AssertionError(str(error)) from error
        require(rows == again, f"{given.name}: read gives other rows the second time")
        values = [row.values for row in rows]
        require(values == list(wanted), f"{given.name}: read gives {values}, not {list(wanted)}")
        named = all(str(path) in row.place for row in rows)
        require(named, f"{given.name}: read gives a place that lacks the file")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"broken{given.suffixes[0]}"
        path.write_bytes(b"\xff\xfe\x00{[<\"'\n\x00")
        try:
            list(given.read(path))
        except DataError as error:
            require(str(path) in str(error), f"{given.name}: read's error lacks the file: {error}")
        except Exception as error:
            said = f"{given.name}: read ends in {error!r} on a broken file, not in a DataError"
            raise AssertionError(said) from error
