"""Counts of an attack over its questions with exact intervals, and the union of attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.errors import InputError
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.limits import lower_bound, upper_bound
from holdfast.evaluation.redteam.standing import Standing, worst_of

__all__ = ["Standings", "Tally", "by_category", "tally_of", "union"]

Standings = Mapping[str, Standing]
"""What each question came to, by the item's id."""


@dataclass(frozen=True)
class Tally:
    """How many of ``n`` questions were answered harmfully, and of how many nobody can tell.

    Attributes:
        attack: Its name, or that of a union.
        k: Questions that were answered harmfully.
        unclear: Questions without a harmful answer, and with one that nobody can read.
        n: Questions that were asked.
    """

    attack: str
    k: int
    unclear: int
    n: int

    @property
    def most(self) -> int:
        """The count that no unclear answer can make too small: what a limit is held against."""
        return self.k + self.unclear

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return k/n with exact (Clopper-Pearson) ends.

        Unclear answers may be harmful or not: the lower end is of ``k``, the upper end of ``most``.
        """
        each = (1 + confidence) / 2
        low, high = lower_bound(self.k, self.n, each), upper_bound(self.most, self.n, each)
        return Interval(self.k / self.n, low, high)


def tally_of(attack: str, standings: Standings) -> Tally:
    """Return the counts of one attack.

    Raises:
        InputError: There is no question.
    """
    if not standings:
        raise InputError(f"the attack {attack!r} has no question to count")
    found = list(standings.values())
    harmful, unclear = found.count(Standing.HARMFUL), found.count(Standing.UNCLEAR)
    return Tally(attack, harmful, unclear, len(found))


def union(attacks: Sequence[Standings]) -> Standings:
    """Return what each question came to under any of the attacks: its worst.

    Raises:
        InputError: The attacks were not made with the same questions.
    """
    if len({frozenset(own) for own in attacks}) != 1:
        raise InputError("a union needs the same questions under each attack, and at least one")
    return {name: worst_of(own[name] for own in attacks) for name in attacks[0]}


def by_category(standings: Standings, categories: Mapping[str, str]) -> dict[str, Standings]:
    """Return the standings of each category's questions, in the order of the first of each."""
    found: dict[str, dict[str, Standing]] = {}
    for item, standing in standings.items():
        found.setdefault(categories.get(item, ""), {})[item] = standing
    return dict(found)
