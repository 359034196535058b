"""Two results side by side: the arms both have, and how far B's figures lie from A's.

A difference is B minus A. What it is paired by is told, since each interval covers something else:

=================  ==========================================================================
paired by          interval
=================  ==========================================================================
prompts and seeds  both results kept their answers: that of the paired comparison
seeds              answers were stripped: Student's t over seeds; other prompts are not in it
nothing            other questions, other judges, or no seed in common: no difference is given
=================  ==========================================================================
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast.comparisons.fairness import asked_as, same_question_files, warnings_between
from holdfast.errors import InputError
from holdfast.evaluation.compare import compare_hits
from holdfast.evaluation.interval import Estimate, Interval
from holdfast.evaluation.metrics import Figure
from holdfast.evaluation.statistics import student
from holdfast.results.attacks import attack_text
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.results.scored import scored_hits
from holdfast.results.words import arm_name, scenario_title

__all__ = [
    "BOTH", "NOTHING", "SEEDS", "Comparison", "Gap", "Match", "compare_results", "load_result",
]  # fmt: skip

FIGURES: tuple[Figure, ...] = ("hs", "over_refusal", "fa")
BOTH, SEEDS, NOTHING = "prompts and seeds", "seeds", "nothing"
_Alone = tuple[RunResult, Sequence[Arm]]
"""A result, and its arms that the other lacks."""


@dataclass(frozen=True)
class Gap:
    """One figure of one arm in both results."""

    figure: Figure
    a: Estimate | None
    b: Estimate | None
    difference: Interval | None
    paired_by: str


@dataclass(frozen=True)
class Match:
    """One arm that both results have."""

    defense: str
    where: str
    control: bool
    name: str
    """What a reader calls it; the untouched model of one may be what another was given."""
    seeds_a: list[int]
    seeds_b: list[int]
    gaps: list[Gap]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Comparison:
    """All that two results have in common, and what not."""

    a: str
    b: str
    matches: list[Match]
    only_a: list[str]
    only_b: list[str]
    other_settings: list[str]
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return asdict(self)


def load_result(path: Path) -> RunResult:
    """Read a ``result.json``, or the one in a result folder.

    Raises:
        InputError: There is none, it is damaged, or has a newer schema.
    """
    target = path / "result.json" if path.is_dir() else path
    if path.is_dir() and not target.exists():
        raise InputError(
            f"{path} holds no result.json; give a folder that tune, demo, repair or bench wrote"
        )
    return RunResult.load(target)


def compare_results(a: RunResult, b: RunResult, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Return what both have; arms are the same if defense, attack and settings are.

    Raises:
        InputError: They have no arm in common.
    """
    theirs: dict[str, list[Arm]] = {}
    for arm in b.arms:
        theirs.setdefault(_key(arm), []).append(arm)
    pairs: list[tuple[Arm, Arm]] = []
    left: list[Arm] = []
    for arm in a.arms:
        if twins := theirs.get(_key(arm)):
            pairs.append((arm, twins.pop(0)))
        else:
            left.append(arm)
    right = [arm for arms in theirs.values() for arm in arms]
    differ = [(x, y) for x in left for y in right if _place(x) == _place(y)]
    if not pairs:
        raise InputError(_nothing(names, (a, left), (b, right), differ))
    asked = same_question_files(a, b)
    moved = [id(arm) for pair in differ for arm in pair]
    return Comparison(
        *names,
        matches=[_match(*pair, _called(pair[0], a, b), asked=asked) for pair in pairs],
        only_a=[_name(arm, a) for arm in left if id(arm) not in moved],
        only_b=[_name(arm, b) for arm in right if id(arm) not in moved],
        other_settings=[f"{_name(x, a)}: {_settings_gap(x, y)}" for x, y in differ],
        warnings=warnings_between(a, b, pairs),
    )


def _key(arm: Arm) -> str:
    """Return the defense, what it was run on, and its settings."""
    return f"{_place(arm)} {json.dumps(arm.settings, sort_keys=True)}"


def _place(arm: Arm) -> tuple[Any, ...]:
    """Return the defense and what it was run on."""
    return (arm.defense, arm.scenario, arm.p, arm.attack)


def _nothing(names: tuple[str, str], a: _Alone, b: _Alone, differ: Sequence[Any]) -> str:
    """Return the message for results without an arm in common."""
    if differ:
        x, y = differ[0]
        return (
            f"{names[0]} and {names[1]} have no arm in common: {_name(x, a[0])} is in both "
            f"with other settings ({_settings_gap(x, y)}); give results of the same settings"
        )
    ends = [_name(arms[0], of) if arms else "no arm" for of, arms in (a, b)]
    return (
        f"{names[0]} and {names[1]} have no arm in common: the first has {ends[0]}, the second "
        f"{ends[1]}; an arm is the same if its defense, scenario, attack and settings are"
    )


def _name(arm: Arm, of: RunResult) -> str:
    name, where = arm_name(arm.defense, of.command), _where(arm)
    return f"{name} ({where})" if where else name


def _where(arm: Arm) -> str:
    """Return the attack in words, or the scenario where none was recorded."""
    if arm.attack is not None:
        return attack_text(arm.attack, named=True)
    return scenario_title(arm.scenario, arm.p)


def _settings_gap(x: Arm, y: Arm) -> str:
    """Return the first settings that differ, as ``panacea.rho 0.4 and 0.5``."""
    ours, theirs = _flat(x.settings), _flat(y.settings)
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    told = [f"{key} {ours.get(key, 'unset')} and {theirs.get(key, 'unset')}" for key in keys[:3]]
    more = f", and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(told) + more


def _flat(settings: Any, above: str = "") -> dict[str, Any]:
    """Return nested settings with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{above}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _called(arm: Arm, a: RunResult, b: RunResult) -> str:
    """Return an arm's name, and of both results where each calls it otherwise."""
    ours, theirs = arm_name(arm.defense, a.command), arm_name(arm.defense, b.command)
    return ours if ours == theirs else f"{ours} (A), {theirs} (B)"


def _match(x: Arm, y: Arm, name: str, *, asked: bool) -> Match:
    """Return one arm's figures in both results."""
    ours, theirs = {run.seed: run for run in x.runs}, {run.seed: run for run in y.runs}
    shared = [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
    gaps = [
        Gap(f, x.figures.get(f), y.figures.get(f), *_difference(f, shared, asked=asked))
        for f in FIGURES
        if f in x.figures or f in y.figures
    ]
    return Match(x.defense, _where(x), x.is_control, name, x.seeds, y.seeds, gaps, dict(x.settings))


def _difference(
    figure: Figure, shared: Sequence[tuple[SeedRun, SeedRun]], *, asked: bool
) -> tuple[Interval | None, str]:
    """Return B minus A with its interval over the shared seeds, and what it is paired by."""
    pairs = [(a, b) for a, b in shared if figure in a.shares and figure in b.shares]
    if not pairs or not asked or any(asked_as(a) != asked_as(b) for a, b in pairs):
        return None, NOTHING
    left, right = scored_hits(figure, [b for _, b in pairs], [a for a, _ in pairs])
    if all(left) and all(right):
        if len({frozenset(hits) for hits in [*left, *right]}) > 1:
            return None, NOTHING
        found = compare_hits(left, right)
        return found and found.bare, BOTH
    if any(a.shares[figure].n != b.shares[figure].n for a, b in pairs):
        return None, NOTHING
    gaps = [b.shares[figure].value - a.shares[figure].value for a, b in pairs]
    if max(gaps) - min(gaps) < 1e-12:  # One seed or no spread.
        return None, NOTHING
    over = student(gaps)
    return Interval(over.value, max(-1.0, over.low), min(1.0, over.high)), SEEDS
