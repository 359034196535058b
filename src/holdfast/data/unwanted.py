"""Rows that say of their own answer that it was not wanted: KTO's data have a ``label`` for it."""

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.protocol import column_in
from holdfast.data.shapes.reader import ShapeReader
from holdfast.errors import DataError

__all__ = ["LABEL", "LEFT_OUT", "Unwanted"]

LABEL = "label"
LEFT_OUT = "and are left out"
"""How the note on them ends."""
_SAYS = {True: True, False: False, "true": True, "false": False}
"""A table without types holds ``True``, ``true`` or, from Excel, ``TRUE``; 0 and 1 are classes."""


class Unwanted:
    """Finds them in one source: to learn them would teach what the data warn of."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._rows, self._found = 0, 0
        self.columns: frozenset[str] = frozenset()
        """The columns of labels that were read."""

    def has(self, row: RawRow, reader: ShapeReader) -> bool:
        """Tell whether the row's answer was not wanted; the reader has read the row."""
        self._rows += 1
        pair = reader.columns.get("prompt"), reader.columns.get("completion")
        names = column_in(row.values, "prompt"), column_in(row.values, "completion")
        label = column_in(row.values, LABEL)
        if label is None or None in names or pair != names:
            return False
        value = row.values[label]
        value = value.strip().casefold() if isinstance(value, str) else value
        says = _SAYS.get(value) if isinstance(value, bool | str) else None
        if says is not None:
            self.columns |= {label}
        self._found += says is False
        return says is False

    def notes(self) -> list[str]:
        """Return what is told of the rows that were left out.

        Raises:
            DataError: There are no others.
        """
        if not self._found:
            return []
        told = f"{LABEL} false, an answer that was not wanted, as KTO has it"
        if self._found == self._rows:
            raise DataError(
                f"{self._source}: every row has {told}: expected at least one wanted answer; where "
                f"{LABEL!r} means something else, rename the column"
            )
        return [f"{self._found} of {self._rows} rows have {told}, {LEFT_OUT}"]
