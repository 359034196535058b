"""Text with a prompt on each line that is not blank."""

from collections.abc import Iterator
from pathlib import Path

from holdfast.data.formats.encodings import not_utf8, text_opened
from holdfast.data.formats.protocol import Format, RawRow
from holdfast.errors import DataError

__all__ = ["TEXT"]

MOST = 2**20
"""Characters of the longest line."""


def _read(path: Path) -> Iterator[RawRow]:
    number = 0
    with text_opened(path) as file:
        try:
            for number, line in enumerate(iter(lambda: file.readline(MOST + 1), ""), start=1):
                if len(line) > MOST:
                    said = "is longer than 1 MiB: write one prompt a line"
                    raise DataError(f"{path}, row {number}: {said}")
                if line.strip():
                    yield RawRow(number, f"{path}, row {number}", {"text": line.strip()})
        except UnicodeDecodeError as error:
            raise not_utf8(f"{path}, row {number + 1} or after", path, error) from error


TEXT = Format("text", (".txt",), _read, lambda _: "text, a prompt on each line")
