"""Safety against utility under one attack: every arm's place, and families at equal accuracy."""

import math
from collections.abc import Mapping, Sequence

from holdfast.defenses import card_of
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.resampling import SettingHits
from holdfast.evaluation.settings.equal_accuracy import equal_accuracy_difference, harmful_score_at
from holdfast.evaluation.settings.fronts import pareto_front
from holdfast.results.comparisons import EqualAccuracy, Front, FrontRow, LeftOut
from holdfast.results.hits import (
    has_answers,
    same_questions,
    scored_in_all,
    share_of,
    table_of,
)
from holdfast.results.records import PLAIN, Arm, Attack

__all__ = ["BELOW", "distance_from", "fronts"]

BELOW = (0.01, 0.03)
"""Accuracy given up against plain fine-tuning at which harmful scores are read; ours."""
Sides = tuple[SettingHits, SettingHits]  # FA and HS


def fronts(by_scenario: Mapping[str, Sequence[Arm]]) -> list[Front]:
    """Return a front for each attack under which a family ran; the one of most arms first."""
    by_attack: dict[Attack, list[Arm]] = {}  # An attack names its scenario.
    for arm in (arm for arms in by_scenario.values() for arm in arms):
        if arm.attack is not None:
            by_attack.setdefault(arm.attack, []).append(arm)
    found = (_front(attack, members) for attack, members in by_attack.items())
    return sorted(filter(None, found), key=lambda front: -sum(map(len, front.curves.values())))


def _front(attack: Attack, arms: Sequence[Arm]) -> Front | None:
    """Return the front under one attack; None where fewer than two strengths can be compared."""
    usable = [arm for arm in arms if has_answers(arm, "hs") and has_answers(arm, "fa")]
    if not usable:
        return None
    reference = next((arm for arm in usable if arm.defense == PLAIN), usable[0])
    seeds = reference.seeds
    kept = [
        arm for arm in usable if set(seeds) <= set(arm.seeds) and same_questions([reference, arm])
    ]
    curves = _curves(kept)
    if not curves or not all(scored_in_all(kept, figure, seeds) for figure in ("fa", "hs")):
        return None
    why = "lacks seeds, answers, or questions of the others"
    left = [LeftOut(defense=arm.defense, why=why) for arm in arms if arm not in kept]
    return Front(
        attack=attack, seeds=seeds, rows=_rows(kept, seeds), curves=curves,
        equal=_equal(kept, curves, seeds), left_out=left,
    )  # fmt: skip


def _curves(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """Return the arms of each family by rising strength, plain fine-tuning first.

    A family that measured the strength at which it does nothing starts there instead.
    """
    plain = [PLAIN] if any(arm.defense == PLAIN for arm in arms) else []
    families: dict[str, list[tuple[float, str]]] = {}
    for arm in arms:
        if arm.family and arm.strength is not None:
            distance = distance_from(arm.strength, _off(arm.family))
            families.setdefault(arm.family, []).append((distance, arm.defense))
    found: dict[str, list[str]] = {}
    for family, members in families.items():
        ordered = sorted(members)
        start = [] if ordered[0][0] == 0 else plain
        if len(start) + len(ordered) > 1:
            found[family] = [*start, *(name for _, name in ordered)]
    return found


def distance_from(strength: float, off: float) -> float:
    """Return how far a strength is from ``off``.

    Where that is infinite no number is; the smaller a strength, the farther it is then.
    """
    if math.isfinite(off):
        return abs(strength - off)
    return 1 / strength if strength else math.inf


def _off(family: str) -> float:
    """Return the strength at which a family's last defense does nothing; 0 where it is unknown."""
    card = card_of(family.rsplit("+", maxsplit=1)[-1].partition("(")[0])
    return 0.0 if card is None else card.off


def _rows(arms: Sequence[Arm], seeds: Sequence[int]) -> list[FrontRow]:
    """Return every arm with its figures and its place, both on the front's seeds."""
    points = pareto_front(table_of(arms, "fa", seeds), table_of(arms, "hs", seeds))
    return [
        FrontRow(
            defense=arm.defense, control=arm.is_control, family=arm.family, strength=arm.strength,
            fa=share_of(arm, "fa", seeds), hs=share_of(arm, "hs", seeds),
            on_front=point.on_front, stability=point.stability,
        )
        for arm, point in zip(arms, points, strict=True)
    ]  # fmt: skip


def _equal(
    arms: Sequence[Arm], curves: Mapping[str, Sequence[str]], seeds: Sequence[int]
) -> list[EqualAccuracy]:
    """Return each family's harmful score at the accuracies below plain fine-tuning's."""
    by_name = {arm.defense: arm for arm in arms}
    plain = by_name.get(PLAIN)
    if plain is None:
        return []
    sides: dict[str, Sides] = {}
    for family, names in curves.items():
        of = [by_name[name] for name in names]
        sides[family] = table_of(of, "fa", seeds), table_of(of, "hs", seeds)
    own = {family: [by_name[name] for name in of[1:]] for family, of in curves.items()}
    against = [family for family in curves if all(_baseline(arm) for arm in own[family])]
    rows: list[EqualAccuracy] = []
    for below in BELOW:
        accuracy = round(plain.figures["fa"].value - below, 9)
        for family, (fa, hs) in sides.items():
            found = harmful_score_at(accuracy, fa, hs)
            versus: dict[str, Interval] = {}
            for other in (name for name in against if name != family and found is not None):
                gap = equal_accuracy_difference(accuracy, (fa, hs), sides[other])
                if gap is not None:
                    versus[other] = gap.bare
            rows.append(EqualAccuracy(
                family=family, control=all(arm.is_control for arm in own[family]), below=below,
                accuracy=accuracy, hs=found and found.bare, inside=found and found.inside,
                versus=versus,
            ))  # fmt: skip
    return rows


def _baseline(arm: Arm) -> bool:
    """Return whether an arm is what defenses have to beat: by itself, a card says, a baseline."""
    card = card_of(arm.defenses[0]) if len(arm.defenses) == 1 else None
    return arm.is_control or (card is not None and card.paper.startswith("baseline"))
