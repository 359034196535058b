"""A data set's rows as the model sees them in training, in tiles that hang on the rows alone.

A matrix product may differ in its last bits with the number of rows that go through it. So there is
no batch size to choose: rows of like length go together in the same tiles whoever asks, and the
scores are the same bytes on one device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.data.chat import collate, encode
from holdfast.defense import Examples, listed
from holdfast.errors import DataError, InputError
from holdfast.ops.batches import IGNORED, MOST_TOKENS

__all__ = ["Encoded", "Tile", "answer_tokens", "encoded", "put_back", "stacked", "tiles_of"]

Encoded = Mapping[str, Sequence[int]]
"""``input_ids`` and ``labels`` of one row."""
BLOCK = 1024
"""Rows of a block."""
_MOST_ROWS = 64
"""Most rows of a tile: short rows by the thousand would gain nothing more."""


@dataclass(frozen=True)
class Tile:
    """Some rows of like length, padded on the right."""

    rows: tuple[int, ...]
    """Which rows of the data set these are, from 0."""
    batch: dict[str, Tensor]
    """``input_ids``, ``attention_mask`` and ``labels``, shape (rows, tokens)."""

    @property
    def last(self) -> Tensor:
        """Position of each row's last token, shape (rows,)."""
        return self.batch["attention_mask"].sum(1) - 1


def encoded(rows: Examples, tokenizer: Any, max_length: int | None = None) -> list[Encoded]:
    """Return the rows through the training's own template, cut at ``max_length`` as it cuts them.

    Args:
        rows: Examples.
        tokenizer: A Hugging Face tokenizer with a chat template.
        max_length: The training's most tokens of a row; None for no limit.

    Raises:
        InputError: ``max_length`` is below 1.
        DataError: There are no rows.
        ModelError: The tokenizer has no chat template, or its template refuses a row.
    """
    if max_length is not None and max_length < 1:
        raise InputError(
            f"`max_length={max_length}`: a row needs one token or more; give 1 or more"
        )
    given = listed(rows)
    if not given:
        raise DataError("there are no rows to score; give a data set with one row or more")
    out: list[Encoded] = []
    for number, row in enumerate(given, start=1):
        whole = encode(dict(row), tokenizer, None, where=f"row {row.get('row') or number}")
        out.append({name: ids[:max_length] for name, ids in whole.items()})
    return out


def answer_tokens(rows: Sequence[Encoded]) -> list[int]:
    """Return how many tokens the loss of each row is on; 0 where a cut has left none."""
    return [sum(label != IGNORED for label in row["labels"][1:]) for row in rows]


def tiles_of(rows: Sequence[Encoded], pad_id: int = 0) -> list[Tile]:
    """Return the rows that have an answer token in tiles, the shortest first.

    A tile has at most 64 rows and, of long rows, as many as 2,048 tokens hold, at least one.
    """
    counts = answer_tokens(rows)
    order = [n for n in range(len(rows)) if counts[n]]
    order.sort(key=lambda n: (n // BLOCK, len(rows[n]["input_ids"]), n))
    groups: list[list[int]] = []
    for n in order:
        if groups and _fits(groups[-1], n, len(rows[n]["input_ids"])):
            groups[-1].append(n)
        else:
            groups.append([n])
    return [Tile(tuple(group), collate([rows[n] for n in group], pad_id)) for group in groups]


def _fits(group: Sequence[int], n: int, length: int) -> bool:
    """Tell whether row n goes into the group; rows come by length, so it is the widest."""
    small = len(group) < _MOST_ROWS and (len(group) + 1) * length <= MOST_TOKENS
    return small and group[0] // BLOCK == n // BLOCK


def put_back(tiles: Sequence[Tile], parts: Sequence[Tensor], rows: int) -> list[float | None]:
    """Return one value a row in the rows' own order; None for rows in no tile."""
    out: list[float | None] = [None] * rows
    for tile, part in zip(tiles, parts, strict=True):
        for n, value in zip(tile.rows, part.tolist(), strict=True):
            out[n] = value
    return out


def stacked(tiles: Sequence[Tile], parts: Sequence[Tensor]) -> Tensor:
    """Return the parts of all tiles in the rows' own order, rows in no tile left out."""
    order = torch.tensor([n for tile in tiles for n in tile.rows])
    return torch.cat(list(parts))[order.argsort()]
