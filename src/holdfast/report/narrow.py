"""Tables for a terminal of any width: where figures would be cut, each has a line of its own."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

__all__ = ["Fitting"]

NAME = 4
"""Fewest characters of a name on a line; below it a table has no room for the names."""
GAP = 2
"""Blanks between two columns."""


class Fitting:
    """A table where the terminal has room for its figures, and lines where it has not.

    Rich takes room from names until none is left, and then cuts figures: 100% reads as 10….

    Args:
        table: The table.
        heads: The heads of its columns; a column without one holds words.
        rows: Its cells.
    """

    def __init__(
        self, table: Table, heads: Sequence[str], rows: Sequence[Sequence[str | Text]]
    ) -> None:
        self.table, self.heads, self.rows = table, heads, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or its title and a line for each figure."""
        if self._least() <= options.max_width:
            yield self.table
            return
        if self.table.title:
            yield self.table.title if isinstance(self.table.title, Text) else Text(self.table.title)
        for row in self.rows:
            for head, cell in zip(self.heads, row, strict=True):
                told = " ".join(str(cell).split())
                if told:
                    yield Text(f"  {_spoken(head)}: {told}" if head else told)

    def _least(self) -> int:
        """Return the width that shows every figure whole."""
        columns = zip(self.heads, *self.rows, strict=True)
        widths = [max(map(_width, column)) if column[0] else NAME for column in columns]
        return sum(widths) + GAP * (len(widths) - 1)


def _spoken(head: str) -> str:
    """Return a head on one line: a word that was broken for two lines is whole."""
    return " ".join(head.replace("over-\n", "over-").replace("-\n", "").split())


def _width(cell: str | Text) -> int:
    return max((cell_len(line) for line in str(cell).split("\n")), default=0)
