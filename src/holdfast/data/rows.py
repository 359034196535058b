"""The rows of a source, each with its number and its reader, and what was found on the way.

A source may be several files: each has a shape of its own, and rows are numbered through all.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.data.formats import RawRow, suffixes
from holdfast.data.formats.compressed import PACKED
from holdfast.data.kits import is_kit, kit_table
from holdfast.data.shapes.reader import ShapeReader
from holdfast.data.sources.files import files_of
from holdfast.data.sources.splits import refuse_split
from holdfast.data.sources.tables import OTHERS, Table, hub_table, table_of
from holdfast.files.guarded.paths import refuse_text

__all__ = ["Part", "Rows", "is_hub_id"]

SHOWN = 5
"""Files that a note names."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")


def is_hub_id(source: str) -> bool:
    """Tell whether ``source`` reads as ``owner/name`` or ``owner/name:config`` on the hub.

    A local file always wins, and what looks like a path (a data file's suffix, a first part that
    is a local folder) is never taken for a hub id: a misspelt path must not reach the network.
    """
    if not _HUB_ID.fullmatch(source):
        return False
    path = Path(source)
    if path.exists() or path.suffix.lower() in (*suffixes(), *PACKED, *OTHERS):
        return False
    owner = source.partition("/")[0]
    return not Path(owner).exists()


@dataclass
class Part:
    """What was found of one file, up to the last row that was read."""

    table: Table
    reader: ShapeReader
    before: int
    """Rows are numbered from behind this."""
    last: int = 0
    """The number of its last row, in the source."""


@dataclass
class Rows:
    """Reads a source, once.

    Attributes:
        source: A path, a folder, a pattern, several paths with commas, or a hub id.
        columns: Our names to the file's.
        split: Which split of a folder or of a hub data set.
        answers: Whether rows must have answers.
        parts: What was found of each file that was begun.
        notes: What of the source is not read.
    """

    source: str
    columns: Mapping[str, str] | None
    split: str = "train"
    answers: bool = True
    parts: list[Part] = field(default_factory=list[Part])
    notes: list[str] = field(default_factory=list[str])

    def __iter__(self) -> Iterator[tuple[RawRow, ShapeReader]]:
        """Yield each row, and the reader that finds its messages.

        Raises:
            DataError: The source is missing, empty, of an unknown format or malformed (naming the
                row), or the hub data set cannot be loaded.
        """
        refuse_text(self.source, self.source, whole="," not in self.source)
        before = 0
        for table in self._tables():
            reader = ShapeReader(self.columns, answers=self.answers)
            part = Part(table, reader, before, before)
            self.parts.append(part)
            for row in table.rows:
                part.last = before + row.number
                yield replace(row, number=part.last), reader
            before = part.last

    def raw(self) -> Iterator[RawRow]:
        """Yield each row as its file has it, without looking for a shape; raises as the other."""
        refuse_text(self.source, self.source, whole="," not in self.source)
        before = last = 0
        for table in self._tables():
            for row in table.rows:
                last = before + row.number
                yield replace(row, number=last)
            before = last

    def told(self) -> list[str]:
        """Return what is to be told of the source once its rows are read."""
        names = [f"{Path(p.table.name).name} {p.before + 1} to {p.last}" for p in self.parts]
        more = f" and {len(names) - SHOWN} files more" if len(names) > SHOWN else ""
        through = f"rows are numbered through its files: {', '.join(names[:SHOWN])}{more}"
        shapes = [part.reader.shape.note for part in self.parts if part.reader.shape]
        return [
            *self.notes,
            *([through] if len(self.parts) > 1 else []),
            *dict.fromkeys(note for note in shapes if note),
        ]

    def _tables(self) -> Iterator[Table]:
        if is_kit(self.source):
            refuse_split(self.source, self.split)
            yield kit_table(self.source)
            return
        if is_hub_id(self.source):
            yield hub_table(self.source, self.split)
            return
        found = files_of(self.source, self.split)
        self.notes += found.notes
        yield from map(table_of, found.paths)
