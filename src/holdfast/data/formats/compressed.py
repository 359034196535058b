"""Opening a file of text: plain, or packed with gzip or Zstandard and then unpacked as it is read.

A packed file under the name of a plain one, a Parquet file named ``.jsonl`` and the pointer of a
large file that Git has not fetched each get a line of their own.
"""

import io
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from holdfast.errors import DataError

__all__ = ["FREE", "MOST_TIMES", "PACKED", "opened", "refuse_bomb", "suffix_of"]

PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Ends of the names of packed files, and how pyarrow calls what packs them."""
FREE = 2**26
"""Bytes that any file may unpack to."""
MOST_TIMES = 200
"""How many times its size a larger file may unpack to; text packs to a tenth, rarely a fiftieth."""
_MARKS = {
    b"\x1f\x8b": "is packed with gzip: let its name end in .gz, such as rows.jsonl.gz",
    b"\x28\xb5\x2f\xfd": "is packed with Zstandard: let its name end in .zst",
    b"PK\x03\x04": "is a zip archive or an Excel file: unpack it, or save it as CSV",
    b"PAR1": "is a Parquet file: let its name end in .parquet",
    b"ARROW1": "is an Arrow file: let its name end in .arrow",
    b"version https://git-lfs": "is a pointer of Git LFS and not the file: git lfs pull fetches it",
}


def suffix_of(path: Path) -> str:
    """Return the end of a file's name that tells its format: ``.jsonl`` of ``rows.jsonl.gz``."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in PACKED else suffix


def opened(path: Path) -> BinaryIO:
    """Return a file of text, open for reading bytes, unpacked where its name says it is packed.

    Raises:
        DataError: At once where it is another kind of file; while it is read, where it is cut off
            or damaged, or unpacks to ``MOST_TIMES`` its size.
    """
    kind = PACKED.get(path.suffix.lower())
    file = path.open("rb")
    if kind is None:
        head = file.read(32)
        for mark, said in _MARKS.items():
            if head.startswith(mark):
                file.close()
                raise DataError(f"{path}: {said}")
        file.seek(0)
        return file
    unpacked = io.BufferedReader(_Unpacked(path, file, kind))
    for mark, said in _MARKS.items():
        if unpacked.peek(32).startswith(mark):
            unpacked.close()
            raise DataError(f"{path}: what is packed in it {said.partition(':')[0]}: unpack it")
    return cast("BinaryIO", unpacked)


def refuse_bomb(path: Path, unpacked: int) -> None:
    """Raise ``DataError`` where a file has unpacked to more bytes than text does."""
    if unpacked > max(FREE, MOST_TIMES * path.stat().st_size):
        said = f"unpacks to more than {MOST_TIMES} times its size, as no text does"
        raise DataError(f"{path}: {said}: unpack it and look at it")


class _Unpacked(io.RawIOBase):
    """The bytes of a packed file."""

    def __init__(self, path: Path, file: BinaryIO, kind: str) -> None:
        self._path, self._file, self._kind, self._count = path, file, kind, 0
        self._stream: Any = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), kind)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with the next bytes."""
        try:
            found = self._stream.read(len(buffer))
        except (OSError, pa.ArrowException) as error:
            cut = "Truncated" in str(error)
            what = "is cut off" if cut else f"is no whole {self._kind} file"
            said = f"{what}: copy or download it again"
            raise DataError(f"{self._path}: {said}") from error
        self._count += len(found)
        refuse_bomb(self._path, self._count)
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close the file too."""
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()
