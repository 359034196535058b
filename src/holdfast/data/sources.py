"""The raw rows of whatever names data: a kit, a file, or a data set of the hub."""

from collections.abc import Iterator

from holdfast.data.formats import RawRow
from holdfast.data.kits import PREFIX, kit_rows
from holdfast.data.rows import read_rows

__all__ = ["is_kit", "rows_in"]


def is_kit(source: str) -> bool:
    """Tell whether a source is a kit's; its columns are known then."""
    return source.startswith(PREFIX)


def rows_in(source: str, split: str = "train") -> Iterator[RawRow]:
    """Yield the rows of ``kit:NAME/PART``, of a file, or of a hub data set's ``split``.

    Raises:
        DataError: They cannot be found or read.
    """
    return kit_rows(source) if is_kit(source) else read_rows(source, split)
