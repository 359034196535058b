"""The digest manifest of a folder: written last, so that its files are known to be those.

It holds the size and SHA-256 of every file, and its own hash. Hashing reads what was written once
more, about 1 to 2 seconds per GB; a folder that was cut short has no manifest.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from holdfast.errors import InputError
from holdfast.files.sealing.documents import read_sealed, write_sealed

__all__ = ["MANIFEST", "damage", "is_sealed", "seal"]

MANIFEST = "holdfast_manifest.json"


def seal(folder: Path, beside: Iterable[Path] = ()) -> None:
    """Write the manifest of ``folder``, with the files of other folders that belong to it.

    ``beside`` are files that are told by their names alone.

    Raises:
        RunError: The manifest cannot be written.
    """
    files = {str(path.relative_to(folder)): _told(path) for path in _files(folder)}
    apart = {path.name: _told(path) for path in sorted(beside)}
    write_sealed(folder / MANIFEST, {"files": files, "beside": apart})


def is_sealed(folder: Path) -> bool:
    """Tell whether a folder was written to its end; nothing is read."""
    return (folder / MANIFEST).is_file()


def damage(folder: Path, beside: Path | None = None) -> str:
    """Return what differs from the manifest of ``folder``; "" where nothing does.

    ``beside`` is the folder of the files that lie apart.
    """
    if not folder.is_dir():
        return "there is no such folder"
    if not is_sealed(folder):
        return f"it was not written to its end (or by another program: it has no {MANIFEST})"
    try:
        said = read_sealed(folder / MANIFEST)
        files, apart = dict(said["files"]), dict(said["beside"])
        found = {str(path.relative_to(folder)) for path in _files(folder)}
        if strange := sorted(found - files.keys()):
            return f"{strange[0]} does not belong to it"
        aside = beside or folder
        why = _differing(aside, apart)
        return _differing(folder, files) or (why and f"{why} (artifacts_dir={aside})")
    except (InputError, OSError, KeyError, TypeError, ValueError) as error:
        return f"{MANIFEST} is damaged ({error})"


def _differing(folder: Path, files: dict[str, Any]) -> str:
    """Return the first of the files that is missing or holds something else."""
    for name, told in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        # The size alone tells most damage without reading the file.
        if path.stat().st_size != told[0] or _told(path) != list(told):
            return f"{name} was changed after it was written"
    return ""


def _told(path: Path) -> list[Any]:
    with path.open("rb") as content:
        return [path.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest()]


def _files(folder: Path) -> list[Path]:
    """Return what counts: no manifest, and nothing that a file manager or a file system hides."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")
    )
