"""A few rows in full, the trained tokens marked; those that a safety set holds are redacted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.data.overview.rendered_rows import Encoded, pieces

__all__ = ["Shown", "shown_rows"]


@dataclass(frozen=True)
class Shown:
    """One row as the model reads it."""

    row: int
    tokens: int
    trained: int
    """Tokens that the loss is on."""
    pieces: list[tuple[str, bool]]
    """The text in order, each piece with whether it is trained; empty where it is redacted."""


def shown_rows(rows: Sequence[Encoded], tokenizer: Any, harmful: frozenset[int]) -> list[Shown]:
    """Return the rows; those of ``harmful`` without their text."""
    return [
        Shown(
            row=each.row,
            tokens=len(each.ids),
            trained=sum(each.trained),
            pieces=[] if each.row in harmful else pieces(each, tokenizer),
        )
        for each in rows
    ]
