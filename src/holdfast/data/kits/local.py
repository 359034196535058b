"""Where local copies of kits lie: the folders of ``HOLDFAST_DATA``, then the folder ``data``."""

import os
from collections.abc import Iterator
from pathlib import Path

from holdfast.data.kits.kit import Part
from holdfast.files.guarded.paths import refuse_text

__all__ = ["VARIABLE", "folders", "local_file"]

VARIABLE = "HOLDFAST_DATA"


def folders() -> list[Path]:
    """Return the folders that are searched, in order; the first that has a file wins."""
    given = os.environ.get(VARIABLE, "")
    refuse_text(given, VARIABLE)
    named = [Path(folder) for folder in given.split(os.pathsep) if folder]
    return [folder for folder in (*named, Path("data")) if folder.is_dir()]


def local_file(part: Part) -> Path | None:
    """Return the local copy of a part, or None where there is none."""
    return next(_found(part), None)


def _found(part: Part) -> Iterator[Path]:
    for folder in folders():
        for name in part.files:
            yield from sorted(path for path in folder.glob(name) if path.is_file())
