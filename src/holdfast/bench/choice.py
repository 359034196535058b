"""Which cells of a bench run now: those that are named, in an order in which few wait, for a time.

The others stay what they are: done before, or left for a later start in the same folder.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.bench.cell.cell import Cell
from holdfast.errors import ConfigError
from holdfast.training.standalone import finished_only

__all__ = ["ALL", "Choice"]


@dataclass(frozen=True)
class Choice:
    """What runs of a bench."""

    only: tuple[str, ...] = ()
    """Words of a cell's line, or its key; of several texts a cell has to fit one."""
    minutes: float | None = None
    """No cell begins after so many minutes; what has begun ends."""

    def of(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the chosen cells, those of a real model in the order of ``_turn``.

        Raises:
            ConfigError: A text names no cell, or the minutes are none.
        """
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ConfigError(f"`minutes={self.minutes:g}` is out of range, expected more than 0")
        for text in self.only:
            if not any(_fits(text, cell) for cell in cells):
                raise ConfigError(
                    f"`only={text}` names no cell of the recipe: give words that stand in a "
                    "cell's line of the dry run, such as 'p=0.1 none seed=0', or its key"
                )
        chosen = [c for c in cells if not self.only or any(_fits(text, c) for text in self.only)]
        if not cells[0].subject.real:
            return chosen
        points = {cell.point: place for place, cell in reversed([*enumerate(chosen)])}
        return sorted(chosen, key=lambda cell: (points[cell.point], *_turn(cell)))

    @property
    def until(self) -> float:
        """When no further cell begins, in seconds of ``time.monotonic``."""
        return math.inf if self.minutes is None else time.monotonic() + 60 * self.minutes


ALL = Choice()


def _turn(cell: Cell) -> tuple[int, bool]:
    """Return a cell's turn under its attack: by seeds, and what repairs a tuned model comes last.

    It takes the tuned model from another cell and would wait for it.
    """
    return cell.seed, any(finished_only(spec.bare) for spec in cell.defenses[-1:])


def _fits(text: str, cell: Cell) -> bool:
    words = cell.label.split()
    known = {cell.key, *words, *(word.partition(":")[0] for word in words)}
    return bool(text.split()) and set(text.split()) <= known
