"""Parquet: read batch by batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from holdfast.data.formats.arrow import BATCH, rows_of_batches
from holdfast.data.formats.protocol import Format, RawRow

__all__ = ["PARQUET"]


def _read(path: Path) -> Iterator[RawRow]:
    yield from rows_of_batches(path, _batches(path), "Parquet")


def _batches(path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=BATCH)


PARQUET = Format("parquet", (".parquet",), _read, lambda _: "Parquet")
