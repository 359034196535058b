"""Text of a file: UTF-8, or what its byte order mark says; nothing else is guessed."""

import io
from pathlib import Path
from typing import TextIO

from holdfast.data.formats.compressed import opened
from holdfast.errors import DataError

__all__ = ["encoding_of", "not_utf8", "text_opened"]

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def encoding_of(path: Path) -> str:
    """Return the encoding that the first bytes of a file tell, UTF-8 without a mark."""
    with opened(path) as file:
        head = file.read(3)
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")


def text_opened(path: Path) -> TextIO:
    """Return a file, open for reading text; line ends are as they stand in the file."""
    return io.TextIOWrapper(opened(path), encoding=encoding_of(path), newline="")


def not_utf8(place: str, path: Path, error: UnicodeDecodeError) -> DataError:
    """Return the error of a byte that is no text in UTF-8, with the likely encoding."""
    found = error.object[error.start : error.start + 1]
    plain = path.suffix.lower() not in (".gz", ".zst")
    marked = encoding_of(path) == "utf-16"  # As PowerShell's ">" writes it.
    coding = "utf-16" if marked else "cp1252"
    why = "it is UTF-16 by its mark" if marked else "which cp1252 of Windows has"
    how = f" (iconv -f {coding} -t utf-8 {path.name} > NEW)" if plain else ""
    said = f"is not UTF-8 (byte 0x{found.hex()}, {why}): save it as UTF-8{how}"
    return DataError(f"{place}: {said}")
