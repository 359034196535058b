"""Formats of data files: ours, and those that other packages declare, picked by their suffix."""

from typing import Any

from holdfast.data.formats.arrow import ARROW
from holdfast.data.formats.csv import CSV
from holdfast.data.formats.jsonl import JSONL
from holdfast.data.formats.parquet import PARQUET
from holdfast.data.formats.protocol import GROUP, Format, RawRow, format_fault
from holdfast.data.formats.text import TEXT
from holdfast.errors import DataError
from holdfast.files.entry_points import Registry

__all__ = ["FORMATS", "Format", "RawRow", "format_of", "suffixes"]

_OWN = {one.name: one for one in (JSONL, CSV, PARQUET, ARROW, TEXT)}


def _fault(found: Any, name: str) -> str:
    taken = {end for one in _OWN.values() for end in one.suffixes}
    wrong = format_fault(found, name)
    both = ", ".join(sorted(taken.intersection(() if wrong else found.suffixes)))
    return f"suffixes has {both}, which holdfast reads itself; leave it out" if both else wrong


FORMATS: Registry[Format] = Registry(GROUP, "format", _OWN, _fault)


def suffixes() -> tuple[str, ...]:
    """Return every suffix that can be read, ours first."""
    return tuple(end for one in FORMATS.all().values() for end in one.suffixes)


def format_of(suffix: str) -> Format | None:
    """Return the format of this suffix, or None.

    Raises:
        DataError: Two installed formats claim it.
    """
    found = [one for one in FORMATS.all().values() if suffix in one.suffixes]
    if len(found) > 1:
        names = " and ".join(one.name for one in found)
        raise DataError(f"the formats {names} both read {suffix}: uninstall the package of one")
    return found[0] if found else None
