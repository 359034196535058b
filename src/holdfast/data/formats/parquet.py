"""Parquet: read batch by batch."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.data.formats.protocol import Format, RawRow
from holdfast.errors import DataError

__all__ = ["PARQUET"]


def _read(path: Path) -> Iterator[RawRow]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches())
            for number, values in enumerate(rows, start=1):
                yield RawRow(number, f"{path}, row {number}", values)
    except UnicodeDecodeError as error:
        said = f"row {number + 1} or after: is not UTF-8: write the text as UTF-8"
        raise DataError(f"{path}, {said}") from error
    except (
        pa.ArrowException, OSError, ValueError, OverflowError, TypeError, LookupError
    ) as error:  # fmt: skip
        # Dates out of Python's range, types of other packages, fields of one name.
        raise DataError(f"{path}: is not a readable Parquet file: write it again") from error


PARQUET = Format("parquet", (".parquet",), _read)
