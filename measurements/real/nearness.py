"""Which prompts ask nearly the same: no party may hold what another one learns or is asked."""

import re
from collections.abc import Iterable, Sequence

from measurements.public_rows import Row

__all__ = ["NEAR", "apart", "content", "nearness"]

NEAR = 0.7
"""From this share of common words on, two prompts count as one."""
_FILLING = """
a an the is are was were be do does did how what which who why when where can could should would i
you he she it we they my your his her its our their me to of in on at for from with by and or so
that this these those as into about best way good get there some any please s t m one step steps
instructions provide write give explain describe tell
"""
"""Words in which two prompts may agree without asking the same."""


def content(prompt: str) -> frozenset[str]:
    """Return the words that carry the meaning; all of them where none does."""
    filling = _FILLING.split()
    words = re.findall(r"\w+", prompt.lower())
    return frozenset(word for word in words if word not in filling) or frozenset(words)


def nearness(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the Jaccard index of two sets of words, in [0, 1]."""
    return len(a & b) / len(a | b) if a or b else 1.0


def apart(rows: Iterable[Row], *others: Sequence[Row], near: float = NEAR) -> list[Row]:
    """Return the rows that are not near to a row of ``others``, nor the same as one before them."""
    taken = [content(row["prompt"]) for group in others for row in group]
    kept: dict[frozenset[str], Row] = {}
    for row in rows:
        own = content(row["prompt"])
        if own not in kept and not any(nearness(own, other) >= near for other in taken):
            kept[own] = row
    return list(kept.values())
