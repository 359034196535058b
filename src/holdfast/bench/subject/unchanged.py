"""A sweep takes hours: what it was planned with, its workers have to find as it was.

A cell's key holds hashes of the model and of the files, taken once when the recipe is read. The
model is loaded again for every cell, and each new worker reads the files anew: what has changed in
between would be kept under the key of what was there before.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from holdfast.errors import InputError
from holdfast.files.once import digest_of, files_below

__all__ = ["content_of", "refuse_changed", "weights_of"]

Looks = tuple[Path, int, int, int, int]
"""A file with what shows that it is another one, or was written again."""
_READ = (".json", ".safetensors", ".jinja", ".model")
"""What of a model's folder decides how it answers."""


def refuse_changed(given: str, now: str, known: str) -> None:
    """Raise ``InputError`` where what is ``given`` has another hash now than the bench knows of it.

    Of what has just been loaded the hash is to be taken afterwards: then it was that all along.
    """
    if known and now != known:
        raise InputError(
            f"`{given}` is not what it was when the bench began: put it back as it was, or begin "
            "anew in another folder"
        )


def weights_of(model: str) -> str:
    """Return the SHA-256 of a folder's files; "" for a hub id, which is told by its whole name.

    Files that look as they did are not read again.
    """
    folder = Path(model)
    if not folder.is_dir():
        return ""
    return _hash(folder, [path for path in sorted(folder.iterdir()) if path.suffix in _READ])


def content_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of all that a folder holds, looked at in the same way."""
    return _hash(path, files_below(path))


def _hash(folder: Path, files: Sequence[Path]) -> str:
    found = ((path, path.stat()) for path in files)
    looks = tuple((p, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for p, at in found)
    return _digest(folder, looks)


@cache
def _digest(folder: Path, files: tuple[Looks, ...]) -> str:
    return digest_of((path for path, *_ in files), folder)
