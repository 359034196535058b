"""Splits of a folder: ``train``, ``test`` and ``validation``, by the names of files or folders."""

import re
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import DataError

__all__ = ["chosen", "files_of_split", "refuse_split"]

DEFAULT = "train"
"""The split that is read where the user asks for none."""

_WORDS = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip


def chosen(names: Sequence[str], split: str, path: str) -> str:
    """Return the split that is wanted, or the only one there is where none is asked for.

    Raises:
        DataError: There are others and not this one.
    """
    if split in names or (len(names) == 1 and split == DEFAULT):
        return split if split in names else names[0]
    known = ", ".join(names) or "none"
    said = f"has the splits {known} and not {split!r}: give the folder or file of one"
    raise DataError(f"{path}: {said}, or `split=NAME`")


def refuse_split(path: Path | str, split: str) -> None:
    """Raise ``DataError`` where another split than the default is asked of what has none.

    A file that is named after the split, such as ``test.jsonl``, is that split.
    """
    wanted = _WORDS.get(split, split)
    if wanted not in (DEFAULT, _split_of(Path(path))):
        raise DataError(f"{path}: has no splits, and `split={split}` is given: leave it out")


def files_of_split(files: Sequence[Path], split: str, path: Path) -> list[Path]:
    """Return those files whose names have the split that is wanted, all where no names tell any.

    Raises:
        DataError: Some names tell a split and others none, or all tell other ones.
    """
    told = {file: _split_of(file) for file in files}
    names = list(dict.fromkeys(name for name in told.values() if name is not None))
    if not names:
        refuse_split(path, split)
        return list(files)
    if bare := next((file for file, name in told.items() if name is None), None):
        other = next(file for file, name in told.items() if name is not None)
        said = f"{other.name} is named after a split and {bare.name} is not: give the files"
        raise DataError(f"{path}: {said}, such as '{path}/*{bare.suffix}'")
    wanted = chosen(names, _WORDS.get(split, split), str(path))
    return [file for file, name in told.items() if name == wanted]


def _split_of(file: Path) -> str | None:
    words = re.split(r"[^a-z]+", file.name.lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None
