"""Whether the counts of attacks are those of the questions that they are made of."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from holdfast.evaluation.redteam.tally import tally_of, union
from holdfast.results.redteam.records import Counted, RedTeam

__all__ = ["Faults", "faults_of", "twice"]

Faults = Iterator[tuple[str, str]]
"""Where, and what is wrong there."""


def faults_of(team: RedTeam) -> Faults:
    """Return where what attacks found cannot be, each with what is wrong there."""
    found = {each.attack: each.standings for each in team.attacks}
    if again := twice([each.attack for each in team.attacks]):
        yield "attacks", f"{again[0]} stands there twice"
    for place, each in enumerate(team.attacks):
        parts = {"counted": each.counted, **each.variants, **each.categories}
        for name, counted in parts.items():
            yield from _of_counted(f"attacks.{place}.{name}", counted)
        if not _tells(each.counted, lambda each=each: tally_of(each.attack, each.standings)):
            yield f"attacks.{place}.counted", "not as the standings of its questions have it"
    if missing := [name for name in team.union_of if name not in found]:
        yield "union_of", f"the attack {missing[0]!r} is not there"
    elif team.union is not None:
        sides = [found[name] for name in team.union_of]
        yield from _of_counted("union", team.union)
        if not _tells(team.union, lambda: tally_of("union", union(sides))):
            yield "union", "not as the standings of its attacks have it"


def _of_counted(where: str, counted: Counted) -> Faults:
    if min(counted.k, counted.unclear) < 0 or counted.k + counted.unclear > counted.n:
        yield f"{where}.k", f"{counted.k} harmful and {counted.unclear} unclear ones of {counted.n}"
    elif counted.n < 1:
        yield f"{where}.n", f"{counted.n} questions"
    elif not all(0 <= end <= 1 for end in (counted.low or 0, counted.high or 0)):
        yield f"{where}.high", f"{counted.low} to {counted.high} is no interval of a share"


def _tells(counted: Counted, tally: Callable[[], Any]) -> bool:
    """Tell whether counts are those of the questions they are made of."""
    try:
        found = tally()
    except ValueError:  # No question, or others than under another attack.
        return False
    return (counted.k, counted.unclear, counted.n) == (found.k, found.unclear, found.n)


def twice(names: Sequence[Any]) -> list[Any]:
    """Return what stands in a list more than once."""
    return [name for name, number in Counter(names).items() if number > 1]
