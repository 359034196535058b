"""Find the arms of a result that a claim speaks of, and read the same seeds and prompts of them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, TypeGuard

from holdfast.artifact import Curve
from holdfast.claims.files import Selector
from holdfast.evaluation.metrics import Figure
from holdfast.evaluation.resampling import SettingHits
from holdfast.organism import scenarios
from holdfast.results.attacks import attacks_of
from holdfast.results.hits import same_questions, scored_in_all, seeds_of, table_of
from holdfast.results.records import Arm, Attack, SeedRun
from holdfast.results.result import RunResult

__all__ = [
    "Bindings", "UnreadableError", "best_of", "bindings", "matching", "profiles", "same_answers",
]  # fmt: skip

LEFT_OPEN = ("learning_rate", "steps", "rows")
"""Knobs of the user's run that a selector may leave open."""
Bindings = Mapping[str, Arm | str]
"""The arm behind each name, or why there is none."""


class UnreadableError(Exception):
    """Why a test cannot be made on a result; never leaves the judging of claims."""


def matching(result: RunResult, selector: Selector) -> list[Arm]:
    """Return the arms that a selector fits, in the result's order.

    Knobs that the selector does not name are at the budget of its scenario; on a real model, which
    has none of its own, at what most attacks of the result have. Controls (noise, random modules,
    strength 0) count where nothing else fits.
    """
    usual = _usual(result, selector.scenario)
    found = [arm for arm in result.arms if _fits(arm, selector, usual)]
    return [arm for arm in found if not arm.is_control] or found


def bindings(
    result: RunResult, selectors: Mapping[str, Selector], names: Sequence[str]
) -> list[Bindings]:
    """Return every way to read ``names`` as arms: one, or one per arm of a ``several`` selector."""
    choices = [_choices(result, selectors[name]) for name in names]
    return [dict(zip(names, chosen, strict=True)) for chosen in product(*choices)]


def best_of(
    results: Sequence[RunResult], selectors: Mapping[str, Selector], names: Sequence[str]
) -> RunResult:
    """Return the result to read ``names`` in: with most of them, then most seeds, then first."""

    def rank(result: RunResult) -> tuple[int, int]:
        found = [arms for name in names if (arms := matching(result, selectors[name]))]
        return len(found), min((len(arm.runs) for arms in found for arm in arms), default=0)

    return max(results, key=rank)


def same_answers(arms: Sequence[Arm], figure: Figure) -> SettingHits:
    """Return each arm's ``[seeds][prompts]`` of answers that count, on the seeds all arms have.

    Raises:
        UnreadableError: There are no answers, or not to the same questions.
        InputError: Runs of one result answered other items.
    """
    shared = seeds_of(arms)
    if not all(run.hits(figure) for arm in arms for run in arm.runs if run.seed in shared):
        raise UnreadableError("the result holds no answers, which intervals are made of")
    if same_questions(arms) and not scored_in_all(arms, figure, shared):
        raise UnreadableError("no question was scored in every run")
    return table_of(arms, figure, shared)


def profiles(arm: Arm, curve: str) -> list[list[float]]:
    """Return the first series of a curve over layers, ``[seeds][layers]``; layer -1 is none.

    Raises:
        UnreadableError: A run has no such curve, or a value of it is missing.
    """
    return [_profile(run, curve) for run in arm.runs]


def _profile(run: SeedRun, name: str) -> list[float]:
    told = [found.blocks.get(name) for found in run.diagnostics.values()]
    for curve in (block for block in told if isinstance(block, Curve)):
        values = next(iter(curve.series.values()), ())
        layers = [y for x, y in sorted(zip(curve.x, values, strict=False)) if x >= 0]
        known = [y for y in layers if y is not None]
        if known and len(known) == len(layers):
            return known
    raise UnreadableError(f"the runs have no curve {name} over layers")


def _choices(result: RunResult, selector: Selector) -> list[Arm | str]:
    found = matching(result, selector)
    if not found:
        return [f"{selector.label} was not run"]
    if len(found) > 1 and not selector.several:
        return [f"{len(found)} arms fit {selector.label}"]
    return list(found)


def _usual(result: RunResult, scenario: str) -> dict[str, float]:
    """Return the learning rate, steps and rows that attacks of a scenario have unless said."""
    if not result.real_model:
        return {knob: getattr(scenarios.BUDGETS[scenario], knob) for knob in LEFT_OPEN}
    ran = [attack for attack in attacks_of(result.arms) if attack.scenario == scenario]
    counts = {knob: Counter(getattr(attack, knob) for attack in ran) for knob in LEFT_OPEN}
    return {knob: of.most_common(1)[0][0] for knob, of in counts.items() if of}


def _fits(arm: Arm, selector: Selector, usual: Mapping[str, float]) -> bool:
    if arm.attack is None or arm.defenses != selector.defenses:
        return False
    return _same_attack(arm.attack, selector, usual) and all(
        _holds(arm.settings.get(name), wanted) for name, wanted in selector.settings.items()
    )


def _same_attack(attack: Attack, selector: Selector, usual: Mapping[str, float]) -> bool:
    wanted = {"p": selector.p, "batch": selector.batch} | {
        knob: getattr(selector, knob) or usual.get(knob) for knob in LEFT_OPEN
    }
    return attack.scenario == selector.scenario and all(
        _same(getattr(attack, key), value) for key, value in wanted.items()
    )


def _holds(settings: Any, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a defense's settings have all that is wanted; null is wanted to be unset."""
    return isinstance(settings, Mapping) and all(
        _same(settings.get(key), value) for key, value in wanted.items()
    )


def _same(given: Any, wanted: Any) -> bool:
    """Compare values as JSON has them: 1 is 1.0, and a rounding of a float is no difference."""
    if isinstance(given, list | tuple) and isinstance(wanted, list | tuple):
        return len(given) == len(wanted) and all(map(_same, given, wanted))
    if _is_number(given) and _is_number(wanted):
        return math.isclose(given, wanted, rel_tol=1e-9, abs_tol=1e-15)
    return bool(given == wanted)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
