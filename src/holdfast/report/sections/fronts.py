"""Safety against utility: the curves of families over their strength, and the Pareto front."""

from typing import Any

from holdfast.report.environment import picture
from holdfast.report.figures.fronts import front_picture
from holdfast.report.figures.looks import looks
from holdfast.report.shown import Shown
from holdfast.results.attacks import attack_text
from holdfast.results.comparisons import Front
from holdfast.results.records import PLAIN, Arm

__all__ = ["section"]

FRONTS = 6
"""Most attacks whose fronts are drawn; ours."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return the fronts of the attacks under which most arms of families ran."""
    found = enumerate(shown.bench.fronts[:FRONTS])
    fronts = [_view(front, shown, f"front{number}") for number, front in found]
    return {"fronts": fronts} if fronts else None


def _view(front: Front, shown: Shown, name: str) -> dict[str, Any]:
    own = {
        arm.defense: arm.model_copy(update={"runs": [r for r in arm.runs if r.seed in front.seeds]})
        for arm in shown.result.arms
        if arm.attack == front.attack
    }
    families = looks(Arm(defense=family) for family in front.curves)
    styles = {PLAIN: shown.looks[PLAIN]} | {family: families[family] for family in front.curves}
    controls = {row.family for row in front.rows if row.control and row.family}
    return {
        "front": front,
        "title": attack_text(front.attack, named=True),
        "picture": picture(front_picture(front, own, styles, name)),
        "legend": [(family, styles[family], family in controls) for family in front.curves],
        "rows": [row for row in front.rows if row.on_front or row.family],
        "against": list(dict.fromkeys(name for each in front.equal for name in each.versus)),
    }
