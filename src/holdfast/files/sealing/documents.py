"""JSON documents that carry the hash of what they say, so that a changed one is not believed."""

import hashlib
import json
from pathlib import Path
from typing import Any

from holdfast.errors import InputError
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole

__all__ = ["read_sealed", "write_sealed"]

_MOST = 64 * 2**20
"""Bytes of a document of ours, at most."""


def write_sealed(target: Path, said: dict[str, Any]) -> None:
    """Write ``said`` with its hash, whole or not at all.

    Raises:
        RunError: It cannot be written.
    """
    write_whole(target, json.dumps({"said": said, "sha256": _digest(said)}))


def read_sealed(source: Path) -> dict[str, Any]:
    """Return what ``write_sealed`` wrote.

    Raises:
        InputError: The file is missing, no document of this kind, or was changed.
    """
    try:
        if source.is_symlink() or not source.is_file() or source.stat().st_size > _MOST:
            raise ValueError("no such file")
        found = json_in(source)
        said = found["said"]
        whole = isinstance(said, dict) and found["sha256"] == _digest(said)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{source} cannot be read ({type(error).__name__})") from error
    if not whole:
        raise InputError(f"{source} was changed after it was written")
    return said


def _digest(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
