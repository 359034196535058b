"""A recipe becomes cells: scenario × attack knobs × defense × seed, checked before anything runs.

The untouched model (``before``) is one cell per scenario. ``p`` is swept in ``harmful_mix`` alone;
the other scenarios are benign and have p = 0. A sweep is one more grid
that differs from the recipe; cells that grids share are run once.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from holdfast.bench.cell.cell import Cell
from holdfast.bench.recipe.files import merged
from holdfast.bench.recipe.model import file_subject
from holdfast.bench.recipe.values import knob_of, list_of, number_of, seeds_of, told_in
from holdfast.bench.subject.organism import MIXED, ORGANISM_SUBJECT, Subject
from holdfast.defense import Stage
from holdfast.errors import ConfigError, nearest
from holdfast.inputs.specs import build_defenses, parse_spec
from holdfast.results.records import BEFORE, PLAIN

__all__ = ["expand"]

SPLITS = ("test", "validation", "ood")
_KNOBS: dict[str, Any] = {
    "p": float, "learning_rate": float | None, "steps": int | None, "epochs": float | None,
    "rows": int,
}  # fmt: skip
_OF_THE_MODEL = ("model", "files", "training")
"""What a recipe says once: its sweeps cannot differ in it."""
_SIZES = ("items_per_kind", "defender_rows", "benign_rows", "validation_rows")


def expand(recipe: Mapping[str, Any], where: str = "recipe") -> list[Cell]:
    """Return the cells of a recipe, in order; cells shared by its grids once.

    Raises:
        ConfigError: A value is unknown, of another type or out of range, a grid names a cell
            twice, has no seeds, or a defense cannot run (ConflictError: two exclude each other).
    """
    subject = _subject(recipe, where)
    sweeps = recipe["sweeps"] or []
    if not isinstance(sweeps, list) or not all(isinstance(one, dict) for one in sweeps):
        raise ConfigError(f"{where}: sweeps must be a list of settings that differ, key: value")
    own = {key: value for key, value in recipe.items() if key not in ("sweeps", *_OF_THE_MODEL)}
    grids = [own, *(merged(own, one, f"{where}, sweep {n}") for n, one in enumerate(sweeps, 1))]
    cells: dict[str, Cell] = {}
    for number, grid in enumerate(grids):
        told = f"{where}, sweep {number}" if number else where
        for cell in _grid(grid, subject, told):
            cells.setdefault(cell.key, cell)
    return list(cells.values())


def _subject(recipe: Mapping[str, Any], where: str) -> Subject:
    if recipe["model"] != ORGANISM_SUBJECT.name:
        return file_subject(recipe, where)
    for key in ("files", "training"):
        if recipe[key]:
            raise ConfigError(
                f"{where}: {key} is for another model, and model is 'organism', which brings its "
                "own: name the model, or leave it out"
            )
    return ORGANISM_SUBJECT


def _grid(grid: Mapping[str, Any], subject: Subject, where: str) -> list[Cell]:
    named = list_of(grid["scenarios"], "scenarios", where)
    names = [_scenario(name, subject.scenarios, where) for name in named]
    defenses = [_defense(one, where) for one in list_of(grid["defenses"], "defenses", where)]
    knobs = {key: knob_of(key, grid[key], hint, where) for key, hint in _KNOBS.items()}
    sizes: dict[str, Any] = {key: number_of(key, grid[key], int, where) for key in _SIZES}
    sizes |= {"split": _split(grid["split"], where), "subject": subject}
    seeds = seeds_of(grid["seeds"], where)
    _check_defenses(defenses, names, sizes, where)
    found: list[Cell] = []
    for name in names:
        if (BEFORE,) in defenses:
            found.append(_cell(name, (BEFORE,), dict.fromkeys(_KNOBS), 0, sizes, where))
        # Benign data have no harmful rows: without this a sweep of p would repeat the same cell.
        shares = knobs["p"] if name == MIXED else [0.0]
        values = product(*({**knobs, "p": shares}[key] for key in _KNOBS))
        for setting, specs in product(list(values), defenses):
            if specs != (BEFORE,):
                knob = dict(zip(_KNOBS, setting, strict=True))
                found += [_cell(name, specs, knob, seed, sizes, where) for seed in seeds]
    _refuse_duplicates(found, where)
    if subject.real:
        _check_rows([cell for cell in found if cell.defenses != (BEFORE,)], where)
    return found


def _cell(
    name: str,
    specs: tuple[str, ...],
    knob: Mapping[str, Any],
    seed: int,
    sizes: Mapping[str, Any],
    where: str,
) -> Cell:  # fmt: skip
    budget = sizes["subject"].budget(name)
    if knob["steps"] is not None and knob["epochs"] is not None:
        raise ConfigError(f"{where}: steps and epochs are both given; give one of them")
    rows, steps = knob["rows"] or budget.rows, knob["steps"] or budget.steps
    if knob["epochs"] is not None:
        steps = max(1, round(knob["epochs"] * math.ceil(rows / budget.batch)))
    return Cell(
        name, specs, knob["p"] or 0.0, knob["learning_rate"] or budget.learning_rate, steps, rows,
        seed, **sizes,
    )  # fmt: skip


def _scenario(name: Any, known: Sequence[str], where: str) -> str:
    if name not in known:
        raise ConfigError(
            f"{where}: unknown scenario {name!r}, known: {', '.join(known)}."
            f"{nearest(str(name), known)}"
        )
    return name


def _split(name: Any, where: str) -> str:
    if name not in SPLITS:
        raise ConfigError(f"{where}: split={name!r}, expected one of {', '.join(SPLITS)}")
    return name


def _defense(given: Any, where: str) -> tuple[str, ...]:
    """Return the specs of one entry: text, or a list of text for a combination."""
    parts = given if isinstance(given, list) else [given]
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"{where}: defense {given!r} is no name, NAME:key=value, or list of them")
    if len(parts) > 1 and {PLAIN, BEFORE} & set(parts):
        raise ConfigError(f"{where}: defense {given!r}: none and before stand alone")
    return () if parts == [PLAIN] else tuple(parts)


def _check_defenses(
    defenses: Sequence[tuple[str, ...]], names: Sequence[str], sizes: Mapping[str, Any], where: str
) -> None:
    subject = sizes["subject"]
    data = subject.defender(sizes, names[0], 0)
    for specs in (specs for specs in defenses if specs != (BEFORE,)):
        with told_in(where):
            build_defenses(specs, data, subject.folders())
            if any(parse_spec(spec)[0].card.stage is Stage.ALIGN for spec in specs):
                subject.alignment(0)


def _check_rows(cells: Sequence[Cell], where: str) -> None:
    """Draw each amount of the user's rows once: a file may have too few."""
    for cell in {(cell.scenario, cell.rows, cell.p): cell for cell in cells}.values():
        with told_in(where):
            _ = cell.user_rows


def _refuse_duplicates(cells: Sequence[Cell], where: str) -> None:
    seen: set[str] = set()
    for cell in cells:
        if cell.key in seen:
            raise ConfigError(f"{where}: this cell is named twice: {cell.label}; name it once")
        seen.add(cell.key)
