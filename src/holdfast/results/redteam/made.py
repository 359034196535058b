"""From the answers to attacks to what a result keeps of them."""

from collections.abc import Mapping, Sequence

from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.power_law import any_of, fitted
from holdfast.evaluation.redteam.registry import ATTACKS, IN_UNION
from holdfast.evaluation.redteam.tally import Standings, by_category, tally_of, union
from holdfast.results.redteam.records import (
    UNION,
    AttackFound,
    Counted,
    Draws,
    NotRun,
    RedTeam,
)

__all__ = ["red_team_of"]

BEYOND = (100, 1000, 10000)
"""Numbers of draws that the power law is told for, where they are more than were asked; ours."""


def red_team_of(
    found: Sequence[AttackAnswers],
    *,
    categories: Mapping[str, str],
    missing: Mapping[str, str],
    prompts_sha256: str,
    seed: int,
) -> RedTeam:
    """Return the record of attacks that ran or could not.

    Args:
        found: What each attack came to.
        categories: Item → kind of harm.
        missing: Attack → why it could not be made at all.
        prompts_sha256: Of the frozen prompts.
        seed: Of the noise and of the search.
    """
    ran = [one for one in found if one.ran]
    told = {one.attack: one.standings() for one in ran}
    inside = [one for one in ran if one.attack in IN_UNION]
    gaps = [name for one in inside for name in one.gaps()]
    joined = union([told[one.attack] for one in inside]) if inside else None
    draws = [one for one in ran if ATTACKS[one.attack].until_harmful]
    return RedTeam(
        judge=ran[0].judge if ran else "",
        prompts_sha256=prompts_sha256,
        seed=seed,
        attacks=[_found(one, categories) for one in ran],
        union=Counted.of(tally_of(UNION, joined)) if joined else None,
        union_of=[one.attack for one in inside],
        union_is_whole=len(inside) == len(IN_UNION) and not gaps,
        union_categories=_categories(joined or {}, categories),
        not_run=_not_run(found, missing),
        draws=_draws(draws[0]) if draws else None,
        beside=_beside(ran),
    )


def _found(one: AttackAnswers, categories: Mapping[str, str]) -> AttackFound:
    attack, standings = ATTACKS[one.attack], one.standings()
    names = [] if attack.until_harmful else list(one.seen[one.judge])
    variants = {name: Counted.of(tally_of(name, one.of_variant(name))) for name in names}
    return AttackFound(
        attack=one.attack,
        counted=Counted.of(tally_of(one.attack, standings), bare=attack.adaptive),
        content=one.content(),
        variants=variants if len(variants) > 1 else {},
        categories=_categories(standings, categories, bare=attack.adaptive),
        search=one.search,
        standings=standings,
    )


def _categories(
    standings: Standings, categories: Mapping[str, str], *, bare: bool = False
) -> dict[str, Counted]:
    parts = by_category(standings, categories)
    if set(parts) <= {""}:
        return {}
    return {n or "(none)": Counted.of(tally_of(n, own), bare=bare) for n, own in parts.items()}


def _not_run(found: Sequence[AttackAnswers], missing: Mapping[str, str]) -> list[NotRun]:
    rows = [NotRun(attack=name, why=why) for name, why in missing.items()]
    for one in found:
        rows += [
            NotRun(attack=one.attack, variant="" if name == one.attack else name, why=why)
            for name, why in one.not_run.items()
        ]
    order = list(ATTACKS)
    return sorted(rows, key=lambda row: order.index(row.attack))


def _draws(one: AttackAnswers) -> Draws:
    first, asked = one.first_harmful(), len(one.seen[one.judge])
    counts = any_of(first, asked)
    law = fitted(counts, len(first))
    if law is None:
        return Draws(any_of=counts, n=len(first))
    beyond = {n: law.at(n) for n in BEYOND if n > asked}
    return Draws(any_of=counts, n=len(first), a=law.a, b=law.b, extrapolated=beyond)


def _beside(ran: Sequence[AttackAnswers]) -> dict[str, dict[str, Counted]]:
    """Return what further judges count, where they have read all of an attack's answers."""
    judges = list(dict.fromkeys(name for one in ran for name in list(one.seen)[1:]))
    found: dict[str, dict[str, Counted]] = {}
    for judge in judges:
        own = [one for one in ran if judge in one.seen]
        table = {
            one.attack: Counted.of(
                tally_of(one.attack, one.standings(judge)), bare=ATTACKS[one.attack].adaptive
            )
            for one in own
        }
        inside = [one.standings(judge) for one in own if one.attack in IN_UNION]
        if inside:
            table[UNION] = Counted.of(tally_of(UNION, union(inside)))
        found[judge] = table
    return found
