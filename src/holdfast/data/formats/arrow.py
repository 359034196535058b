"""Arrow: ``.arrow`` and ``.feather`` files, as files and as streams, read batch by batch."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from holdfast.data.formats.compressed import refuse_bomb
from holdfast.data.formats.protocol import Format, RawRow
from holdfast.errors import DataError

__all__ = ["ARROW", "BATCH", "rows_of_batches"]

BATCH = 1000
"""Rows that are unpacked at once."""


def rows_of_batches(path: Path, batches: Iterable[Any], name: str) -> Iterator[RawRow]:
    """Yield the rows of a file's batches, or of its tables.

    Columns hold objects of one kind with all fields of all rows, so that what a row does not have
    is null: a tool without a parameter, a message without a call. Nulls in a value are left out.

    Raises:
        DataError: A batch cannot be read, or the file unpacks to more than text does; ``name`` is
            what the file should be.
    """
    number = 0
    try:
        for number, values in enumerate(chain.from_iterable(_listed(path, batches)), start=1):
            kept = {column: _without_nulls(value) for column, value in values.items()}
            yield RawRow(number, f"{path}, row {number}", kept)
    except UnicodeDecodeError as error:
        said = f"row {number + 1} or after: is not UTF-8: write the text as UTF-8"
        raise DataError(f"{path}, {said}") from error
    except DataError:
        raise
    except (
        pa.ArrowException, OSError, ValueError, OverflowError, TypeError, LookupError
    ) as error:  # fmt: skip
        # Dates out of Python's range, types of other packages, fields of one name.
        raise DataError(f"{path}: is not a readable {name} file: write it again") from error


def _listed(path: Path, batches: Iterable[Any]) -> Iterator[list[dict[str, Any]]]:
    count = 0
    for batch in batches:
        count += batch.nbytes
        names = list(batch.schema.names)
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{path}: the column {double!r} stands twice: rename one")
        if path.is_file():
            refuse_bomb(path, count)
        yield batch.to_pylist()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _read(path: Path) -> Iterator[RawRow]:
    yield from rows_of_batches(path, _batches(path), "Arrow")


def _batches(path: Path) -> Iterator[Any]:
    with pa.OSFile(str(path)) as file:
        head = file.read(6)
    with pa.OSFile(str(path)) as file:
        if head == b"ARROW1":
            reader = pa.ipc.open_file(file)
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            yield from pa.ipc.open_stream(file)


ARROW = Format("arrow", (".arrow", ".feather"), _read, lambda _: "Arrow")
