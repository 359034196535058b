"""Hits of several runs on the answers that were scored in all of them.

An answer that a judge could not score says nothing. Where it was scored under one seed or arm and
not under another, pairing drops it from all, so that every side is measured on the same questions.
"""

from collections.abc import Sequence, Set
from typing import Protocol

from holdfast.evaluation.metrics import Figure

__all__ = ["Scored", "scored_hits"]

Hits = dict[str, float]


class Scored(Protocol):
    """A run, as this module sees it."""

    @property
    def unscored(self) -> Set[str]:
        """Ids of the answers that the judge could not score."""
        ...

    def hits(self, figure: Figure) -> Hits:
        """Return which scored answers count toward ``figure``."""
        ...


def scored_hits(figure: Figure, *sides: Sequence[Scored]) -> list[list[Hits]]:
    """Return each side's hits, run by run, without what any run leaves unscored."""
    lost = {name for side in sides for run in side for name in run.unscored}
    return [[_without(run.hits(figure), lost) for run in side] for side in sides]


def _without(hits: Hits, lost: Set[str]) -> Hits:
    return {name: hit for name, hit in hits.items() if name not in lost} if lost else hits
