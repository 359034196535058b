"""Raw rows of a data file or of a hub data set, each with its row number."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from holdfast.data.formats import FORMATS, RawRow, format_of, suffixes
from holdfast.data.formats.hub import read_hub
from holdfast.data.formats.protocol import rows_of
from holdfast.errors import DataError
from holdfast.files.guarded.paths import refuse_text

__all__ = ["is_hub_id", "read_rows"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")
_NO_HUB_IDS = (".tsv", ".txt", ".arrow", ".gz", ".zip")


def is_hub_id(source: str) -> bool:
    """Tell whether ``source`` reads as ``owner/name`` or ``owner/name:config`` on the hub.

    A local file always wins, and what looks like a path (a data file's suffix, a first part that
    is a local folder) is never taken for a hub id: a misspelt path must not reach the network.
    """
    path = Path(source)
    if path.exists() or path.suffix.lower() in (*suffixes(), *_NO_HUB_IDS):
        return False
    owner = source.partition("/")[0]
    return bool(_HUB_ID.fullmatch(source)) and not Path(owner).exists()


def read_rows(source: str, split: str = "train") -> Iterator[RawRow]:
    """Yield the rows of a file, or of a hub data set's ``split``.

    Raises:
        DataError: The file is missing, empty, of an unknown format or malformed (naming the row),
            or the hub data set cannot be loaded.
    """
    refuse_text(source, source)
    if is_hub_id(source):
        return read_hub(source, split)
    path = Path(source)
    if path.is_dir():
        raise DataError(f"{path}: is a folder: give one {', '.join(suffixes())} file")
    if not path.is_file():
        said = "file not found: check the path (a hub data set is given as owner/name)"
        raise DataError(f"{path}: {said}")
    found = format_of(path.suffix.lower())
    if found is None:
        broken = "".join(f"; {why}" for why in FORMATS.unusable().values())
        known = ", ".join(suffixes())
        raise DataError(f"{path}: unknown format {path.suffix!r}: give {known}{broken}")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read: check its permissions")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty: expected at least one row")
    return found.read(path) if found.name in FORMATS.own else rows_of(found, path)
