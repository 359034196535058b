"""A folder that ``datasets`` wrote with ``save_to_disk``: a data set, or one for each split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk

from holdfast.data.formats.arrow import BATCH, rows_of_batches
from holdfast.data.formats.protocol import RawRow
from holdfast.data.sources.splits import chosen, refuse_split
from holdfast.errors import DataError, reason_of
from holdfast.files.guarded.documents import json_in

__all__ = ["is_saved", "read_saved", "split_folder"]

_SPLITS = "dataset_dict.json"


def is_saved(path: Path) -> bool:
    """Tell whether a folder is one that ``save_to_disk`` wrote."""
    return (path / _SPLITS).is_file() or (path / "state.json").is_file()


def split_folder(path: Path, split: str) -> Path:
    """Return the folder of the split that is wanted, or the one there is where none is asked for.

    Raises:
        DataError: There are others and not this one, or what names them cannot be read.
    """
    if not (path / _SPLITS).is_file():
        refuse_split(path, split)
        return path
    try:
        found: Any = json_in(path / _SPLITS)
        names = [str(name) for name in found["splits"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path / _SPLITS}: names no splits: save the data set again") from error
    return path / chosen(names, split, str(path))


def read_saved(path: Path) -> Iterator[RawRow]:
    """Yield the rows of a saved data set.

    Raises:
        DataError: It cannot be read.
    """
    try:
        found = load_from_disk(str(path))
        if not isinstance(found, Dataset):
            raise TypeError(f"is a {type(found).__name__}")
        # As Arrow tables nothing is decoded: pictures and sounds stay the bytes that they are.
        tables = found.with_format("arrow").iter(batch_size=BATCH)
    except Exception as error:
        # The package raises what Arrow, JSON and the file system do.
        said = f"is no whole folder of save_to_disk ({reason_of(error)}): save the data set again"
        raise DataError(f"{path}: {said}") from error
    yield from rows_of_batches(path, tables, "save_to_disk")
