"""Bare values of rows, before anything is held against a reference."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.analysis.rows.columns import CONFOUNDERS
from holdfast.analysis.rows.components.tiles import Encoded
from holdfast.analysis.rows.soundness import stands_in

__all__ = ["Scored", "keys_of"]


@dataclass(frozen=True)
class Scored:
    """Values of some rows, in their order; blocks of a data set are joined."""

    values: Mapping[str, Sequence[float | None]]
    keys: tuple[str, ...]
    """What tells a row from others, from ``keys_of``."""
    states: Tensor | None = None
    """Of the rows that have a score, shape (rows, layers, hidden)."""

    def distinct(self, name: str) -> list[float | None]:
        """Return a column with each row once: copies of one row make no set riskier."""
        return list(dict(zip(self.keys, self.values[name], strict=True)).values())

    def joined(self, after: "Scored") -> "Scored":
        """Return these rows and, behind them, those of the next block."""
        both = [one for one in (self.states, after.states) if one is not None]
        values = {name: [*rows, *after.values[name]] for name, rows in self.values.items()}
        return Scored(values, self.keys + after.keys, torch.cat(both) if both else None)

    @property
    def left(self) -> int:
        """How many rows have no score."""
        return sum(value is None for value in self.values["loss"])

    @property
    def notes(self) -> list[str]:
        """What a reader of these values has to know."""
        rows, again = len(self.keys), len(self.keys) - len(set(self.keys))
        found = [f"{self.left} of {rows} rows have no answer token left"] if self.left else []
        found += [f"{again} of {rows} rows repeat another; the set counts each once"] * (again > 0)
        return found + [f"{name} orders these rows as their {by} does" for name, by in self._same()]

    def _same(self) -> list[tuple[str, str]]:
        """Return the columns that are a confounder under another name."""
        whole = [n for n, value in enumerate(self.values["loss"]) if value is not None]
        columns = {name: [own[n] or 0.0 for n in whole] for name, own in self.values.items()}
        others = {name: columns.pop(name) for name in CONFOUNDERS}
        found = [(name, stands_in(own, others)) for name, own in columns.items()]
        return [(name, by) for name, by in found if by]


def keys_of(rows: Sequence[Encoded]) -> tuple[str, ...]:
    """Return each row's hash of its tokens and of which of them are learned."""
    said = (f"{list(row['input_ids'])} {list(row['labels'])}" for row in rows)
    return tuple(hashlib.sha256(one.encode()).hexdigest()[:16] for one in said)
