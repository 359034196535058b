"""A sweep takes hours: what it was planned with, its workers have to find as it was.

A cell's key holds hashes of the model and of the files, taken once when the recipe is read. The
model is loaded again for every cell, and each new worker reads the files anew: what has changed in
between would be kept under the key of what was there before.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from holdfast.errors import InputError
from holdfast.files.once import digest_of

__all__ = ["refuse_changed", "weights_of"]

Looks = tuple[str, int, int, int, int]
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
    return _digest(folder, tuple(_looks(folder))) if folder.is_dir() else ""


def _looks(folder: Path) -> Iterator[Looks]:
    """Yield the name of each file that is read, with what shows that it was written again."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _READ:
            at = path.stat()
            yield path.name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns


@cache
def _digest(folder: Path, files: tuple[Looks, ...]) -> str:
    return digest_of((folder / name for name, *_ in files), folder)
