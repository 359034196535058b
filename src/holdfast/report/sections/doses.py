"""Dose and response: each knob of the attacker, a small picture for each arm."""

from typing import Any

from holdfast.comparisons.doses import doses
from holdfast.report.environment import picture
from holdfast.report.figures.doses import panel
from holdfast.report.shown import Shown

__all__ = ["section"]

PANELS = 24
"""Most small pictures of one curve; the tables hold the other arms; ours."""
BLOCKS = 3
"""Most sets of equal knobs that one knob's curves are drawn for; ours."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return the curves: of each knob the sets of equal knobs with most arms."""
    curves: list[dict[str, Any]] = []
    for dose in doses(shown.result.arms):
        if sum(one["dose"].knob == dose.knob for one in curves) < BLOCKS:
            panels = [
                (
                    name,
                    any(arm.is_control for _, arm in at),
                    picture(panel(dose, name, shown.looks)),
                )
                for name, at in list(dose.curves.items())[:PANELS]
            ]
            curves.append({"dose": dose, "panels": panels, "left": len(dose.curves) - len(panels)})
    return {"curves": curves} if curves else None
