"""From a bench's arms to its worst cases and fronts, while the answers are at hand."""

from collections.abc import Mapping, Sequence

from holdfast.comparisons.fronts import fronts
from holdfast.comparisons.hardest import hardest
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.metrics import Figure
from holdfast.evaluation.settings.worst_case import worst_case
from holdfast.results.attacks import attacked, common_attacks
from holdfast.results.comparisons import BenchSummary, LeftOut, WorstCaseRow, WorstCaseTable
from holdfast.results.costs import Ratio, memory_ratio, ratios, time_ratio
from holdfast.results.hits import (
    has_answers,
    same_questions,
    scored_in_all,
    seeds_of,
    share_of,
    table_of,
)
from holdfast.results.records import BEFORE, PLAIN, Arm, Attack

__all__ = ["summarize"]

ByAttack = Mapping[Attack, Arm]


def summarize(arms: Sequence[Arm]) -> BenchSummary:
    """Return worst cases, fronts and the hardest attack of arms with their answers and attacks.

    Arms without answers are left out of these and named, since neither can be computed from shares.
    """
    by_scenario = attacked(arms)
    untouched = [arm for arm in arms if arm.defense == BEFORE]
    worst = [_worst(name, members, untouched) for name, members in by_scenario.items()]
    tables = [table for table in worst if table.rows]
    return BenchSummary(worst=tables, fronts=fronts(by_scenario), hardest=hardest(arms))


def _worst(scenario: str, arms: Sequence[Arm], untouched: Sequence[Arm]) -> WorstCaseTable:
    """Return one scenario's table."""
    by_name: dict[str, dict[Attack, Arm]] = {}
    for arm in arms:
        if arm.attack is not None and has_answers(arm, "hs"):
            by_name.setdefault(arm.defense, {})[arm.attack] = arm
    attacks, compared = common_attacks({name: list(of) for name, of in by_name.items()})
    # An untouched model that names no scenario answered every scenario's questions.
    own = [arm for arm in untouched if arm.scenario in ("", scenario) and has_answers(arm, "hs")]
    rows = [_untouched(arm) for arm in own]
    left = _left_out(arms, by_name, attacks, compared)
    plain = {attack: by_name.get(PLAIN, {}).get(attack) for attack in attacks}
    for name in compared:
        chosen = {attack: by_name[name][attack] for attack in attacks}
        if why := _why_not(list(chosen.values())):
            left.append(LeftOut(defense=name, why=why))
        else:
            rows.append(_row(chosen, plain))
    return WorstCaseTable(scenario=scenario, attacks=attacks, rows=rows, left_out=left)


def _why_not(arms: Sequence[Arm]) -> str:
    """Return why the arms of one defense have no worst case, "" where they have."""
    seeds = seeds_of(arms)
    if not seeds:
        return "no seed ran under every attack"
    if not same_questions(arms):
        return "answered other questions under some attacks"
    return "" if scored_in_all(arms, "hs", seeds) else "no question was scored under every attack"


def _left_out(
    arms: Sequence[Arm], by_name: Mapping[str, ByAttack], attacks: Sequence[Attack],
    compared: Sequence[str],
) -> list[LeftOut]:  # fmt: skip
    """Name every arm that is not compared and what it lacks."""
    found: list[LeftOut] = []
    for name in dict.fromkeys(arm.defense for arm in arms if arm.defense not in compared):
        own = [arm.attack for arm in arms if arm.defense == name and _is_answered(arm)]
        answered = [attack for attack in own if attack is not None]
        met, ran = (len(set(of) & set(attacks)) for of in (by_name.get(name, {}), answered))
        word = "ran" if met == ran else "was scored"
        why = f"{word} under {met} of {len(attacks)} attacks" if answered else "no answers kept"
        found.append(LeftOut(defense=name, why=why))
    return found


def _is_answered(arm: Arm) -> bool:
    return all(any(a.kind == "harmful" for a in run.answers) for run in arm.runs)


def _untouched(arm: Arm) -> WorstCaseRow:
    """Return the row of the model before fine-tuning, which no attack reached."""
    over_refusal, fa = (_at(arm, figure, arm.seeds) for figure in ("over_refusal", "fa"))
    return WorstCaseRow(
        defense=arm.defense, seeds=len(arm.runs), hs=share_of(arm, "hs", arm.seeds),
        hs_by_seed=_by_seed(arm, arm.seeds), over_refusal=over_refusal,
        over_refusal_worst=over_refusal, fa=fa, fa_worst=fa,
    )  # fmt: skip


def _row(chosen: ByAttack, plain: Mapping[Attack, Arm | None]) -> WorstCaseRow:
    """Return one arm's row over the attacks of ``chosen``, on the seeds that all of them have."""
    arms, attacks = list(chosen.values()), list(chosen)
    seeds = seeds_of(arms)
    hs = worst_case(table_of(arms, "hs", seeds))
    at = arms[hs.setting]
    return WorstCaseRow(
        defense=at.defense, control=at.is_control, seeds=len(seeds),
        hs=hs.bare, attack=attacks[hs.setting], hs_by_seed=_by_seed(at, seeds),
        over_refusal=_at(at, "over_refusal", seeds),
        over_refusal_worst=_worst_of(arms, "over_refusal", seeds),
        fa=_at(at, "fa", seeds), fa_worst=_worst_of(arms, "fa", seeds),
        relative_time=_ratio(chosen, plain, time_ratio),
        relative_memory=_ratio(chosen, plain, memory_ratio),
    )  # fmt: skip


def _worst_of(arms: Sequence[Arm], figure: Figure, seeds: Sequence[int]) -> Interval | None:
    """Return the worst of a figure over the attacks: the most refused, the least learned."""
    if not scored_in_all(arms, figure, seeds):
        return None
    table = table_of(arms, figure, seeds)
    if figure == "over_refusal":
        return worst_case(table).bare
    missed = worst_case([[[1 - hit for hit in row] for row in setting] for setting in table])
    return Interval(1 - missed.value, 1 - missed.high, 1 - missed.low)


def _at(arm: Arm, figure: Figure, seeds: Sequence[int]) -> Interval | None:
    """Return a figure of one arm over ``seeds``, or None where it was not measured."""
    return share_of(arm, figure, seeds) if has_answers(arm, figure) else None


def _by_seed(arm: Arm, seeds: Sequence[int]) -> list[float]:
    runs = {run.seed: run for run in arm.runs}
    return [runs[seed].shares["hs"].value for seed in seeds if "hs" in runs[seed].shares]


def _ratio(chosen: ByAttack, plain: Mapping[Attack, Arm | None], ratio: Ratio) -> float | None:
    """Return the mean of a cost over plain fine-tuning's under the same attack and seed."""
    found: list[float] = []
    for attack, arm in chosen.items():
        base = plain[attack]
        found += ratios(arm.runs, base.runs, ratio) if base is not None else []
    return sum(found) / len(found) if found else None
