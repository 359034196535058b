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
    try:
        with pq.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches())
            for number, values in enumerate(rows, start=1):
                yield RawRow(number, f"{path}, row {number}", values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a readable Parquet file: write it again") from error


PARQUET = Format("parquet", (".parquet",), _read)
