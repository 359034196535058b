"""Tables for a terminal of any width: where cells would be cut, each has a line of its own."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

__all__ = ["Fitting", "figures_whole", "words_whole"]

NAME = 4
"""Fewest characters of a name on a line; below it a table has no room for the names."""
GAP = 2
"""Blanks between two columns."""
LINE = 3
"""A line and two blanks between two columns of a table with lines, which has one more line."""
WORD = 10
"""A longer word may be broken: it is a path or an address."""


class Fitting:
    """A table where the terminal has room for it, and its cells as lines where it has not.

    Rich takes room from names until none is left, and then cuts figures: 100% reads as 10….

    Args:
        table: The table.
        heads: The heads of its columns; a column without one is told without a head.
        rows: Its cells.
        least: The width that it needs.
    """

    def __init__(
        self, table: Table, heads: Sequence[str], rows: Sequence[Sequence[str | Text]], least: int
    ) -> None:
        self.table, self.heads, self.rows, self.least = table, heads, rows, least

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or its title and a line for each cell."""
        if self.least <= options.max_width:
            yield self.table
            return
        if self.table.title:
            yield self.table.title if isinstance(self.table.title, Text) else Text(self.table.title)
        for row in self.rows:
            for head, cell in zip(self.heads, row, strict=True):
                told = " ".join(str(cell).split())
                if told:
                    yield Text(f"  {_spoken(head)}: {told}" if head else told)


def figures_whole(heads: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> int:
    """Return the width of a table without lines that shows every figure whole."""
    columns = zip(heads, *rows, strict=True)
    widths = [max(map(_width, column)) if column[0] else NAME for column in columns]
    return sum(widths) + GAP * (len(widths) - 1)


def words_whole(heads: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> int:
    """Return the width of a table with lines that breaks no word; its first column stays whole."""
    names, *others = zip(heads, *rows, strict=True)
    words = [[min(WORD, cell_len(w)) for cell in one for w in str(cell).split()] for one in others]
    widest = sum(max(each, default=0) for each in words)
    return max(map(_width, names)) + widest + LINE * (len(others) + 1) + 1


def _spoken(head: str) -> str:
    """Return a head on one line: a word that was broken for two lines is whole."""
    return " ".join(head.replace("over-\n", "over-").replace("-\n", "").split())


def _width(cell: str | Text) -> int:
    return max((cell_len(line) for line in str(cell).split("\n")), default=0)
