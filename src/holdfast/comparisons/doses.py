"""Dose-response curves: the arms whose attacks differ in one knob of the attacker alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.results.attacks import attack_text
from holdfast.results.records import Arm

__all__ = ["Dose", "doses"]

FIXED: Mapping[str, tuple[str, ...]] = {
    "p": ("learning_rate", "steps", "rows"),
    "learning_rate": ("p", "steps", "rows"),
    "epochs": ("p", "learning_rate", "rows"),
    "rows": ("p", "learning_rate", "steps"),
    "rows, at equal epochs": ("p", "learning_rate", "epochs"),
}
"""Each knob with those that are equal along its curve."""
LABELS = {"p": "share of harmful rows", "learning_rate": "learning rate", "epochs": "epochs",
          "rows": "rows of the user's data"}  # fmt: skip


@dataclass(frozen=True)
class Dose:
    """One knob with the others equal: every arm's curve, in the recipe's order."""

    knob: str
    scenario: str
    equal: str
    curves: dict[str, list[tuple[float, Arm]]]

    @property
    def title(self) -> str:
        """The knob in words."""
        name, _, how = self.knob.partition(",")
        return LABELS[name] + (f",{how}" if how else "")


def doses(arms: Sequence[Arm]) -> list[Dose]:
    """Return every curve of at least two points, by knob; of equal knobs, most arms first."""
    found: list[Dose] = []
    for knob, fixed in FIXED.items():
        own = [_dose(knob, key, fixed, group) for key, group in _groups(arms, fixed).items()]
        own = [dose for dose in own if dose.curves]
        found += sorted(own, key=lambda dose: -sum(map(len, dose.curves.values())))
    return found


def _groups(arms: Sequence[Arm], fixed: Sequence[str]) -> dict[Any, list[Arm]]:
    """Return the arms whose scenario and fixed knobs are equal together."""
    found: dict[Any, list[Arm]] = {}
    for arm in arms:
        if arm.attack is not None and "hs" in arm.figures:
            key = (arm.attack.scenario, *(getattr(arm.attack, one) for one in (*fixed, "batch")))
            found.setdefault(key, []).append(arm)
    return found


def _dose(knob: str, key: Any, fixed: Sequence[str], arms: Sequence[Arm]) -> Dose:
    """Return one group's curves; arms of a single point have none."""
    name = knob.partition(",")[0]
    curves: dict[str, dict[float, Arm]] = {}
    for arm in arms:
        curves.setdefault(arm.defense, {}).setdefault(float(getattr(arm.attack, name)), arm)
    kept = {who: sorted(of.items()) for who, of in curves.items() if len(of) > 1}
    first = next(arm.attack for arm in arms if arm.attack is not None)
    if name == "rows" and "steps" in fixed:  # Equal steps over other rows are other epochs.
        equal = f"{attack_text(first, ['p', 'learning_rate'])}, {first.steps} steps"
    else:
        equal = attack_text(first, ["epochs" if one == "steps" else one for one in fixed])
    return Dose(knob, str(key[0]), equal, kept)
