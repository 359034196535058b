"""How arms are told apart: a color, a shape and a line, the same over the whole page."""

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.report.figures.svg import SERIES
from holdfast.results.records import BEFORE, PLAIN, Arm

__all__ = ["GLYPHS", "LINES", "MARKERS", "Look", "looks"]

MARKERS = "osD^vPX*"
"""Shapes in pictures, so that color is never the only difference."""
GLYPHS = ("●", "■", "◆", "▲", "▼", "✚", "✖", "★")
"""The same shapes in text."""
LINES = ("-", "--", ":", "-.")
KEPT = (BEFORE, PLAIN)
"""What every other arm is compared with: nobody shares their colors."""
SHIFT = 3
"""Shapes move on by this in each round of colors, so that no pair returns; ours."""


@dataclass(frozen=True)
class Look:
    """One arm's look; each number is an index."""

    color: int
    shape: int
    line: int = 0

    @property
    def variable(self) -> str:
        """The CSS variable of the color."""
        return f"--series-{self.color + 1}"

    @property
    def glyph(self) -> str:
        """The shape as a character."""
        return GLYPHS[self.shape]


def looks(arms: Iterable[Arm]) -> dict[str, Look]:
    """Return each arm's look by ``Arm.defense``, in the order in which arms first appear.

    There are eight colors. Two belong to the untouched model and to plain fine-tuning; where the
    other six return, shape and line differ.
    """
    found = {name: Look(number, number) for number, name in enumerate(KEPT)}
    others = dict.fromkeys(arm.defense for arm in arms if arm.defense not in KEPT)
    free = len(SERIES) - len(KEPT)
    for number, name in enumerate(others):
        turn, place = divmod(number, free)
        color = len(KEPT) + place
        found[name] = Look(color, (color + SHIFT * turn) % len(MARKERS), turn % len(LINES))
    return found
