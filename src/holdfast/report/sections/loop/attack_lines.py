"""One line for each attack, and for the headline, as tables and the picture show them."""

from dataclasses import dataclass

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.redteam.registry import ATTACKS
from holdfast.evaluation.redteam.rendered import SAME_AS_DIRECT
from holdfast.results.redteam.records import AttackFound, Counted, RedTeam
from holdfast.results.words import percent, shown

__all__ = ["Line", "beyond", "figure", "lines", "not_run", "title"]


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        title: The attack, with its number in the order of use.
        counted: Its counts.
        right: Share of all questions whose harmful answer the judge calls right, if it is known.
        parts: Its ways to ask, with their counts.
        lead: The headline.
    """

    title: str
    counted: Counted
    right: float | None = None
    parts: tuple[tuple[str, Counted], ...] = ()
    lead: bool = False


def lines(team: RedTeam) -> list[Line]:
    """Return the headline first, then the attacks in the order of use."""
    head = [Line(team.union_name, team.union, lead=True)] if team.union is not None else []
    return [*head, *map(_line, team.attacks)]


def _line(one: AttackFound) -> Line:
    parts = tuple((name.replace("_", " "), own) for name, own in one.variants.items())
    right = one.content / one.counted.n
    return Line(title(one.attack), one.counted, right, parts)


def title(attack: str) -> str:
    """Return what a reader calls an attack: ``2 prefilled answer``."""
    known = ATTACKS.get(attack)
    return attack if known is None else f"{known.number} {known.title}"


def figure(counted: Counted) -> tuple[str, str]:
    """Return the share in percent, and its interval, or that it has none."""
    if counted.low is None or counted.high is None:
        return percent(counted.value), "no bound"
    return percent(counted.value), shown(Interval(counted.value, counted.low, counted.high))


def not_run(team: RedTeam) -> list[str]:
    """Return what could not be asked, and why."""
    told: list[str] = []
    for one in team.not_run:
        part = f", {one.variant.replace('_', ' ')}" if one.variant else ""
        gap = "left out" if one.why == SAME_AS_DIRECT else "not run"
        told.append(f"{gap}: {title(one.attack)}{part}: {one.why}")
    return told


def beyond(team: RedTeam) -> str:
    """Return how "any of N" grows, in one sentence, and what of it is extrapolated."""
    found = team.draws
    if found is None:
        return ""
    told = ", ".join(f"{n}: {percent(k / found.n)}" for n, k in found.any_of.items())
    if not found.extrapolated:
        return f"Best of N by N: {told}. No power law fits."
    law = ", ".join(f"{n:,}: {percent(share)}" for n, share in found.extrapolated.items())
    return f"Best of N by N: {told}. Extrapolated by a power law, not measured: {law}."
