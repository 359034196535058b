"""What is chosen from: a recipe's defenses, and always ``none``, ``before`` and the baselines."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdfast.bench.arms import arm_names
from holdfast.bench.cell.cell import Cell, attack_on
from holdfast.bench.recipe.estimate import stage_seconds
from holdfast.bench.recipe.files import load_recipe, merged
from holdfast.bench.recipe.grid import expand
from holdfast.defenses import built_in
from holdfast.errors import ConfigError, InputError
from holdfast.inputs.guards.network import local_only, texts_in
from holdfast.inputs.specs import Spec
from holdfast.results.records import BEFORE, PLAIN

__all__ = ["Candidate", "Field", "field_from", "field_of", "plain_runs", "strengths"]


@dataclass(frozen=True)
class Candidate:
    """One defense, or list of defenses, under the recipe's attack."""

    name: str
    cell: Cell
    """Its whole run."""
    cost: float = 0.0
    """Of the whole run, in plain runs, as the stages of the cards are priced."""

    @property
    def reference(self) -> bool:
        """Whether others are measured against it: ``none`` and ``before`` stay to the end."""
        return self.name in (PLAIN, BEFORE)

    def after(self, steps: int) -> Cell:
        """Return its run cut to so many optimizer steps, over which the learning rate falls."""
        at = self.cell.attack
        if at is None:
            return self.cell
        knobs = {**at.knobs, "steps": steps}
        budget = self.cell.subject.budget(self.cell.scenario)
        knobs.pop("scenario")
        return replace(self.cell, attack=attack_on(self.cell.scenario, budget, **knobs))


@dataclass(frozen=True)
class Field:
    """All candidates of a recipe."""

    recipe: dict[str, Any]
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()
    source: str = ""
    """The recipe's file, or its name."""

    @property
    def plain(self) -> Candidate:
        """Plain fine-tuning."""
        return next(one for one in self.candidates if one.name == PLAIN)

    @property
    def steps(self) -> int:
        """Optimizer steps of a whole run."""
        return self.plain.cell.point.steps


def field_of(recipe: str, **changes: Any) -> Field:
    """Read a recipe as candidates under one attack and one seed.

    Args:
        recipe: A file or a packaged recipe, as ``holdfast bench`` takes it.
        changes: In place of what it says.

    Raises:
        ConfigError: See ``load_recipe`` and ``expand``; or it has several attacks.
    """
    return field_from(merged(load_recipe(recipe), changes, f"recipe {recipe}"), recipe)


def field_from(settings: Mapping[str, Any], recipe: str) -> Field:
    """Return the candidates of a recipe's settings; see ``field_of``."""
    where = f"recipe {recipe}"
    given, notes = _one_run(settings, where)
    listed = given["defenses"] if isinstance(given["defenses"], list) else []
    known = {_named(one) for one in listed}
    added = [name for name in (BEFORE, PLAIN) if name not in known]
    given = {**given, "defenses": [*added, *listed]}
    with local_only(texts_in(given)):
        cells = expand(given, where)
        for name in (name for name in _baselines() if name not in known):
            more, note = _baseline(name, given, where)
            cells += more
            notes += note
    by_knobs = {str(cell.point.knobs): cell.point for cell in cells if cell.attack}
    points = list(by_knobs.values())
    if len(points) != 1:
        raise ConfigError(
            f"{where}: has {len(points)} attacks ({_differing(points)}), and what is chosen is for "
            "one: keep one scenario and one value of each knob"
        )
    names = arm_names(cells)
    plain = next(cell for cell in cells if cell.attack and not cell.defenses)
    found = tuple(
        Candidate(names[cell.scenario, cell.specs], cell, plain_runs([cell], plain))
        for cell in cells
    )
    return Field({**given, "seeds": [cells[-1].seed]}, found, tuple(notes), recipe)


def plain_runs(cells: Iterable[Cell], plain: Cell) -> float:
    """Return what making the cells' models takes, in plain runs; shared stages count once."""
    made: dict[Hashable, float] = {}
    for cell in cells:
        made |= stage_seconds(cell)
    return sum(made.values()) / sum(stage_seconds(plain).values())


def _one_run(settings: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Return the recipe with its first seed: one artifact is tested."""
    if settings["sweeps"]:
        raise ConfigError(f"{where}: has sweeps, and what is chosen is for one attack: leave them")
    seeds = settings["seeds"]
    several = len(seeds) if isinstance(seeds, list) else seeds
    if not isinstance(several, int) or several == 1:
        return dict(settings), []
    first = seeds[0] if isinstance(seeds, list) and seeds else 0
    note = f"seed {first} alone is tuned: the claim is about one adapter, and no other seed's"
    return {**settings, "seeds": [first]}, [note]


def _baselines() -> list[str]:
    """Return the defenses that others have to beat, as their cards say."""
    return [name for name, kind in built_in().items() if kind.card.paper.startswith("baseline")]


def _baseline(name: str, given: Mapping[str, Any], where: str) -> tuple[list[Cell], list[str]]:
    """Return a baseline at its own settings, or why it is no candidate."""
    try:
        return expand({**given, "defenses": [name]}, where), []
    except InputError as error:
        return [], [f"{name} is no candidate: {error}"]


def _named(given: Any) -> str:
    return str(given).partition(":")[0].strip() if isinstance(given, str) else ""


def _differing(points: Iterable[Any]) -> str:
    knobs = [point.knobs for point in points]
    found = {key: sorted({str(one[key]) for one in knobs}) for key in knobs[0]} if knobs else {}
    told = [f"{key}={', '.join(values)}" for key, values in found.items() if len(values) > 1]
    return "; ".join(told) or "none"


def strengths(cell: Cell) -> dict[str, Any]:
    """Return the field that sets each defense's strength, with its value: ``name.field``."""
    specs: Sequence[Spec] = cell.defenses if cell.attack else ()
    return {
        f"{spec.card.name}:{spec.card.strength}": getattr(spec.bare, spec.card.strength)
        for spec in specs
    }
