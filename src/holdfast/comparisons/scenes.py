"""The scenarios of a result: which arms belong side by side in one table."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.results.attacks import attack_text, attacked, attacks_of
from holdfast.results.records import BEFORE, PLAIN, Arm, Attack
from holdfast.results.result import RunResult
from holdfast.results.words import scenario_title

__all__ = ["Scene", "scenes"]


@dataclass(frozen=True)
class Scene:
    """One scenario at one share of harmful rows: the untouched model, then what was tuned."""

    name: str
    p: float | None
    arms: tuple[Arm, ...]
    attack: Attack | None = None
    """The attack, in a result that holds several of one scenario."""

    @property
    def title(self) -> str:
        """The heading; '' for a result that names no scenario."""
        if self.attack is not None:
            return attack_text(self.attack, named=True)
        return scenario_title(self.name, self.p)

    @property
    def before(self) -> Arm | None:
        """The untouched model."""
        return next((arm for arm in self.arms if arm.defense == BEFORE), None)

    @property
    def plain(self) -> Arm | None:
        """Plain fine-tuning, if its harmful score was measured."""
        measured = (arm for arm in self.arms if arm.mean("hs") is not None)
        return next((arm for arm in measured if arm.defense == PLAIN), None)

    @property
    def defended(self) -> list[Arm]:
        """The arms with defenses and a harmful score; controls are none."""
        return [arm for arm in self._measured if not arm.is_control]

    @property
    def controls(self) -> list[Arm]:
        """The measured arms that show a defense with a piece replaced, for comparison."""
        return [arm for arm in self._measured if arm.is_control]

    @property
    def _measured(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.defenses and arm.mean("hs") is not None]


def scenes(result: RunResult) -> list[Scene]:
    """Return every (scenario, p) of ``result`` in the order it first appears: every attack.

    The untouched model stands in each scene of its scenario, since its questions are the
    scenario's; one that names no scenario stands wherever there is none of the scenario's own. An
    untouched model of a scenario in which nothing was tuned is a scene by itself.
    """
    before = [arm for arm in result.arms if arm.defense == BEFORE]
    tuned = [arm for arm in result.arms if arm.defense != BEFORE]
    found: dict[tuple[str, float | None, Attack | None], list[Arm]] = {}
    for arm in tuned:
        found.setdefault((arm.scenario, arm.p, arm.attack), []).append(arm)
    several = any(len(attacks_of(arms)) > 1 for arms in attacked(tuned).values())
    out: list[Scene] = []
    for (name, p, attack), arms in found.items():
        # A bench tells the knobs in the name; the questions are the scenario's all the same.
        names = (name, attack.scenario if attack else "", "")
        own = _untouched(before, names, p)
        out.append(Scene(name, p, (*own, *arms), attack if several else None))
    shown = {id(arm) for scene in out for arm in scene.arms}
    named = {arm.scenario for arm in tuned}
    alone = [arm for arm in before if id(arm) not in shown and arm.scenario not in named]
    return out + [Scene(arm.scenario, arm.p, (arm,)) for arm in alone]


def _untouched(before: Sequence[Arm], names: Sequence[str], p: float | None) -> list[Arm]:
    """Return the untouched model of the first of these scenarios that has one, at best at ``p``."""
    for name in names:
        own = [arm for arm in before if arm.scenario == name]
        if own:
            return [next((arm for arm in own if arm.p == p), own[0])]
    return []
