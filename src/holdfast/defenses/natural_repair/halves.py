"""Which rows teach a repair and which ones measure it, told by content and not by their order."""

from dataclasses import dataclass

from holdfast.defense import Examples, Row, listed
from holdfast.files.hashes import sha256_of

__all__ = ["LEAST", "Halves", "halved", "ordered"]

LEAST = 8
"""Rows below which a set is used whole for both: half of less measures nothing."""


@dataclass(frozen=True)
class Halves:
    """A set of rows, cut in two."""

    learned: list[Row]
    """What is kept in the direction, and felt by the metric."""
    measured: list[Row]
    """What tells how far to go."""


def ordered(rows: Examples | None, limit: int | None = None) -> list[Row]:
    """Return at most ``limit`` rows in the order of their hashes, whatever order they came in."""
    return sorted(listed(rows), key=_content)[:limit]


def _content(row: Row) -> str:
    """Return the hash of what is learned of a row; its number in a file is not."""
    return sha256_of(
        [{key: row[key] for key in ("prompt", "completion", "input_ids") if key in row}]
    )


def halved(rows: Examples | None, limit: int) -> Halves:
    """Return every second row to learn from and the others to measure on, at most ``limit`` each.

    A permutation of the rows changes nothing. Fewer than 8 rows are all of both.
    """
    found = ordered(rows)
    if len(found) < LEAST:
        return Halves(found[:limit], found[:limit])
    return Halves(found[::2][:limit], found[1::2][:limit])
