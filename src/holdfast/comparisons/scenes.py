"""The scenarios of a result: which arms belong side by side in one table."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.results.records import BEFORE, PLAIN, Arm
from holdfast.results.result import RunResult
from holdfast.results.words import scenario_title

__all__ = ["Scene", "scenes"]


@dataclass(frozen=True)
class Scene:
    """One scenario at one share of harmful rows: the untouched model, then what was tuned."""

    name: str
    p: float | None
    arms: tuple[Arm, ...]

    @property
    def title(self) -> str:
        """The heading; '' for a result that names no scenario."""
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
    """Return every (scenario, p) of ``result`` in the order it first appears.

    The untouched model stands in each scene of its scenario, since its questions are the
    scenario's; one that names no scenario stands wherever there is none of the scenario's own. An
    untouched model of a scenario in which nothing was tuned is a scene by itself.
    """
    before = [arm for arm in result.arms if arm.defense == BEFORE]
    tuned = [arm for arm in result.arms if arm.defense != BEFORE]
    found: dict[tuple[str, float | None], list[Arm]] = {}
    for arm in tuned:
        found.setdefault((arm.scenario, arm.p), []).append(arm)
    out = [
        Scene(name, p, (*_untouched(before, name, p), *arms)) for (name, p), arms in found.items()
    ]
    shown = {id(arm) for scene in out for arm in scene.arms}
    alone = [arm for arm in before if id(arm) not in shown and arm.scenario not in _names(tuned)]
    return out + [Scene(arm.scenario, arm.p, (arm,)) for arm in alone]


def _names(arms: Sequence[Arm]) -> set[str]:
    """Return the scenarios that ``arms`` name."""
    return {arm.scenario for arm in arms}


def _untouched(before: Sequence[Arm], name: str, p: float | None) -> Sequence[Arm]:
    """Return the scenario's untouched model: of the same share, of any, or of no scenario."""
    own = [arm for arm in before if arm.scenario == name]
    same = [arm for arm in own if arm.p == p]
    return (same or own or [arm for arm in before if not arm.scenario])[:1]
