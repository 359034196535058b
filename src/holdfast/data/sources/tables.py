"""The rows of one file, of a saved data set or of a hub data set, with how they are read."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.data.formats import FORMATS, RawRow, format_of, suffixes
from holdfast.data.formats.compressed import PACKED, suffix_of
from holdfast.data.formats.hub import read_hub
from holdfast.data.formats.protocol import rows_of
from holdfast.data.sources.saved import is_saved, read_saved
from holdfast.errors import DataError

__all__ = ["OTHERS", "Table", "hub_table", "table_of"]

OTHERS = {
    ".zip": "is a zip archive: unpack it", ".tar": "is an archive: unpack it",
    ".tgz": "is an archive: unpack it", ".7z": "is an archive: unpack it",
    ".bz2": "is packed with bzip2: unpack it, or pack it with gzip or Zstandard",
    ".xz": "is packed with xz: unpack it, or pack it with gzip or Zstandard",
    ".xlsx": "is an Excel file: save it as CSV", ".xls": "is an Excel file: save it as CSV",
    ".pkl": "is a pickle, which can run code and is never read: save it as JSONL or Parquet",
    ".pt": "is a pickle, which can run code and is never read: save it as JSONL or Parquet",
    ".md": "is no data file: give one",
}  # fmt: skip
"""Ends of names that are known and not read, and what to do."""


@dataclass(frozen=True)
class Table:
    """Rows that stand in one place."""

    name: str
    """The path or hub id."""
    format: str
    how: Callable[[], str]
    """Says how it is read."""
    rows: Iterator[RawRow]


def hub_table(source: str, split: str) -> Table:
    """Return a hub data set's split, which is loaded when its rows are read."""
    return Table(source, "hub", lambda: f"the split {split!r} of the hub", read_hub(source, split))


def table_of(path: Path) -> Table:
    """Return the table of a file, or of a folder of ``save_to_disk``.

    Raises:
        DataError: It cannot be read, is empty, or of an unknown format.
    """
    if path.is_dir() and is_saved(path):
        return Table(
            str(path), "saved", lambda: "a folder of datasets' save_to_disk", read_saved(path)
        )
    suffix, packed = suffix_of(path), PACKED.get(path.suffix.lower(), "")
    found = format_of(suffix)
    if found is None:
        raise _unknown(path)
    own = found.name in FORMATS.own
    if packed and (not own or found.name in ("parquet", "arrow")):
        said = f"is packed with {packed}, and {suffix} is read unpacked: unpack it"
        raise DataError(f"{path}: {said}")
    if not path.is_file():
        raise DataError(f"{path}: is no regular file: give one")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read: check its permissions")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty: expected at least one row")

    def how() -> str:
        told = found.how(path) if found.how else f"the installed format {found.name}"
        return f"{told}, packed with {packed}" if packed else told

    rows = found.read(path) if own else rows_of(found, path)
    return Table(str(path), found.name, how, rows)


def _unknown(path: Path) -> DataError:
    if said := OTHERS.get(path.suffix.lower()):
        return DataError(f"{path}: {said}")
    broken = "".join(f"; {why}" for why in FORMATS.unusable().values())
    known = ", ".join((*suffixes(), "and text of these with .gz or .zst behind it"))
    end = suffix_of(path) or path.suffix
    return DataError(f"{path}: unknown format {end!r}: give {known}{broken}")
