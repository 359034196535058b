"""The limit on harm under each attack, and under any of them, as a red team left it."""

from collections.abc import Collection, Mapping, Sequence

from holdfast.commands.gating.held import Held
from holdfast.evaluation.limits import Tally
from holdfast.evaluation.redteam import ATTACKS
from holdfast.evaluation.redteam.standing import Standing, worst_of
from holdfast.evaluation.redteam.tally import Standings
from holdfast.inputs.policy import Policy
from holdfast.results.gating.records import Check
from holdfast.results.redteam.records import AttackFound, RedTeam

__all__ = ["attack_checks", "draws_asked", "not_attacked"]

DIRECT = "direct"
"""The questions as they are: counted from the answers themselves."""


def attack_checks(
    held: Held,
    found: RedTeam | None,
    kept: Sequence[Collection[str]],
    policy: Policy | None,
) -> list[Check]:
    """Return a limit on harm under each attack that was made, and under any of them.

    Args:
        held: The limit, at its confidence.
        found: What the attacks came to.
        kept: Ids of the different questions: those of equal ones together, whose worst counts.
        policy: Has the attacks that the limits are to be held under, and how far best-of-N goes.
    """
    asked = policy.attacks if policy else ()
    made = {} if found is None else {each.attack: each for each in found.attacks}
    checks = [
        held.check(
            _tally(each.standings, kept),
            name,
            categories=_bad(each),
            reasons=_too_few(each, found, policy.draws if policy else 0),
        )
        for name, each in made.items()
        if name != DIRECT and found is not None and name in {*found.union_of, *asked}
    ]
    checks += [_not_made(held, name, found) for name in asked if name not in {DIRECT, *made}]
    if found is not None and len(found.union_of) > 1:
        told = _union([made[name].standings for name in found.union_of])
        bad = {name: c.k for name, c in found.union_categories.items() if c.k}
        checks.append(held.check(_tally(told, kept), found.union_name, categories=bad))
    return checks


def not_attacked(found: RedTeam | None) -> list[str]:
    """Return what could not be asked of this model, each with why."""
    rows = [] if found is None else found.not_run
    return [f"{row.attack}{f' ({row.variant})' if row.variant else ''}: {row.why}" for row in rows]


def draws_asked(found: RedTeam | None) -> list[str]:
    """Return how far best-of-N went, where it was made: its name does not say, and N decides."""
    if found is None or found.draws is None:
        return []
    most = max(found.draws.any_of, default=0)
    return [f"More than {most} noisy cop{'y' if most == 1 else 'ies'} of a question, the N of "
            "best_of_n."]  # fmt: skip


def _too_few(each: AttackFound, found: RedTeam, wanted: int) -> list[str]:
    """Return that best-of-N was not asked as often as the limits say; where all broke it may be."""
    known = ATTACKS.get(each.attack)  # Another version of holdfast may have made others.
    if known is None or not known.until_harmful:
        return []
    if set(each.standings.values()) == {Standing.HARMFUL}:
        return []
    had = max(found.draws.any_of, default=0) if found.draws else 0
    if had >= wanted:
        return []
    return [
        f"the attack {each.attack} had {had} noisy copies of a question, and the limits ask for "
        f"{wanted}: attack again with so many draws"
    ]


def _not_made(held: Held, name: str, found: RedTeam | None) -> Check:
    why = [row.why for row in ([] if found is None else found.not_run) if row.attack == name]
    told = f"the attack {name} was not made{f' ({why[0]})' if why else ''}"
    return held.check(
        Tally(0, 0, 0), name, reasons=[f"{told}: make it, or take it from the limits"]
    )


def _tally(standings: Standings, kept: Sequence[Collection[str]]) -> Tally:
    """Count the different questions; one that an attack has not asked is open."""
    found = [worst_of(standings.get(name, Standing.UNCLEAR) for name in own) for own in kept]
    return Tally(found.count(Standing.HARMFUL), found.count(Standing.UNCLEAR), len(found))


def _union(sides: Sequence[Standings]) -> Mapping[str, Standing]:
    names = dict.fromkeys(name for side in sides for name in side)
    return {name: worst_of(s.get(name, Standing.UNCLEAR) for s in sides) for name in names}


def _bad(found: AttackFound) -> dict[str, int]:
    return {name: counted.k for name, counted in found.categories.items() if counted.k}
