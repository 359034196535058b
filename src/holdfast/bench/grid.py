"""A recipe becomes cells: scenario × attack knobs × defense × seed, checked before anything runs.

The untouched model (``before``) is one cell per scenario. ``p`` is swept in ``harmful_mix`` alone;
the other scenarios are benign and have p = 0. A sweep is one more grid
that differs from the recipe; cells that grids share are run once.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from holdfast.bench.defense_spec import build_defenses, parse_spec
from holdfast.bench.recipe_files import merged
from holdfast.bench.shared import origin
from holdfast.bench.values import converted, expected
from holdfast.errors import ConfigError, nearest
from holdfast.organism import scenarios
from holdfast.organism.build import SHIPPED
from holdfast.report.records import BEFORE, PLAIN

__all__ = ["Cell", "expand", "resolved"]

MIXED = "harmful_mix"
SPLITS = ("test", "validation", "ood")
FORMAT = 2
"""Part of every cell's hash; raised when the same settings would give other results."""
_KNOBS: dict[str, Any] = {
    "p": float, "learning_rate": float | None, "steps": int | None, "epochs": float | None,
    "rows": int,
}  # fmt: skip
FOLDERS = {"safe_lora": {"base": str(SHIPPED)}}
"""A folder of the right form, for the checks; the real one is made when cells run."""
_SIZES = ("items_per_kind", "defender_rows", "benign_rows", "validation_rows")


@dataclass(frozen=True)
class Cell:
    """One run: everything that decides its result."""

    scenario: str
    defenses: tuple[str, ...]
    """Specs as in the recipe, outermost first; empty for plain fine-tuning, or ``before``."""
    p: float
    learning_rate: float
    steps: int
    rows: int
    seed: int
    items_per_kind: int
    defender_rows: int
    benign_rows: int
    validation_rows: int
    split: str = "test"

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting as JSON, the defenses with all of their hyperparameters."""
        defenses = resolved(self.defenses)
        return {**asdict(self), "defenses": defenses, "format": FORMAT, "made_by": origin()}

    @property
    def epochs(self) -> float:
        """Passes over the user's rows that the steps make."""
        return self.steps / math.ceil(self.rows / scenarios.BUDGETS[self.scenario].batch)

    @property
    def key(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the settings; the folder's name."""
        text = json.dumps(self.settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The cell in one line."""
        knobs = f"p={self.p:g} lr={self.learning_rate:g} steps={self.steps} rows={self.rows}"
        return f"{self.scenario} {knobs} {' + '.join(self.defenses) or PLAIN} seed={self.seed}"


def expand(recipe: Mapping[str, Any], where: str = "recipe") -> list[Cell]:
    """Return the cells of a recipe, in order; cells shared by its grids once.

    Raises:
        ConfigError: A value is unknown, of another type or out of range, a grid names a cell
            twice, has no seeds, or a defense cannot run (ConflictError: two exclude each other).
    """
    _check_model(recipe, where)
    sweeps = recipe["sweeps"] or []
    if not isinstance(sweeps, list) or not all(isinstance(one, dict) for one in sweeps):
        raise ConfigError(f"{where}: sweeps must be a list of settings that differ, key: value")
    own = {key: value for key, value in recipe.items() if key not in ("sweeps", "model")}
    grids = [own, *(merged(own, one, f"{where}, sweep {n}") for n, one in enumerate(sweeps, 1))]
    cells: dict[str, Cell] = {}
    for number, grid in enumerate(grids):
        told = f"{where}, sweep {number}" if number else where
        for cell in _grid(grid, told):
            cells.setdefault(cell.key, cell)
    return list(cells.values())


def _check_model(recipe: Mapping[str, Any], where: str) -> None:
    if recipe["model"] != "organism":
        raise ConfigError(
            f"{where}: model {recipe['model']!r} cannot be benched yet, expected 'organism'; use "
            "holdfast tune and holdfast evaluate for other models"
        )


def _grid(grid: Mapping[str, Any], where: str) -> list[Cell]:
    names = [_scenario(name, where) for name in _list(grid["scenarios"], "scenarios", where)]
    defenses = [_defense(one, where) for one in _list(grid["defenses"], "defenses", where)]
    knobs = {key: _knob(key, grid[key], where) for key in _KNOBS}
    sizes: dict[str, Any] = {key: _number(key, grid[key], int, where) for key in _SIZES}
    sizes["split"] = _split(grid["split"], where)
    seeds = _seeds(grid["seeds"], where)
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
    return found


def _cell(
    name: str,
    specs: tuple[str, ...],
    knob: Mapping[str, Any],
    seed: int,
    sizes: Mapping[str, Any],
    where: str,
) -> Cell:  # fmt: skip
    budget = scenarios.BUDGETS[name]
    if knob["steps"] is not None and knob["epochs"] is not None:
        raise ConfigError(f"{where}: steps and epochs are both given; give one of them")
    rows, steps = knob["rows"] or budget.rows, knob["steps"] or budget.steps
    if knob["epochs"] is not None:
        steps = max(1, round(knob["epochs"] * math.ceil(rows / budget.batch)))
    return Cell(
        name, specs, knob["p"] or 0.0, knob["learning_rate"] or budget.learning_rate, steps, rows,
        seed, **sizes,
    )  # fmt: skip


def _list(value: Any, key: str, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: {key} is {value!r}, expected a list of at least one")
    return value


def _scenario(name: Any, where: str) -> str:
    if name not in scenarios.SCENARIOS:
        known = list(scenarios.SCENARIOS)
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
    from holdfast.bench.cells import defender_data  # noqa: PLC0415  # It imports this module.

    data = defender_data(sizes, names[0], 0)
    for specs in (specs for specs in defenses if specs != (BEFORE,)):
        try:
            build_defenses(specs, data, FOLDERS)
        except ConfigError as error:
            error.args = (f"{where}: {error}",)
            raise


def _knob(key: str, value: Any, where: str) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [_number(key, one, _KNOBS[key], where) for one in _list(values, key, where)]


def _number(key: str, value: Any, hint: Any, where: str) -> Any:
    try:
        number = converted(value, hint)
    except ValueError as error:
        raise ConfigError(f"{where}: {key}={value!r} must be {expected(hint)}") from error
    bad = number is not None and (not 0 <= number <= 1 if key == "p" else number <= 0)
    if bad:
        wanted = "a share in [0, 1]" if key == "p" else "more than 0"
        raise ConfigError(f"{where}: {key}={value} is out of range, expected {wanted}")
    return number


def _seeds(value: Any, where: str) -> list[int]:
    given = value if isinstance(value, list) else None
    try:
        seeds = list(range(converted(value, int))) if given is None else [
            converted(one, int) for one in given
        ]  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: seeds={value!r} must be a whole number or a list") from error
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"{where}: seeds={value!r}, expected at least one, from 0 up")
    return seeds


def _refuse_duplicates(cells: Sequence[Cell], where: str) -> None:
    seen: set[str] = set()
    for cell in cells:
        if cell.key in seen:
            raise ConfigError(f"{where}: this cell is named twice: {cell.label}; name it once")
        seen.add(cell.key)


def resolved(specs: Sequence[str]) -> list[Any]:
    """Return the specs with every hyperparameter, so that a changed default is another cell."""
    if tuple(specs) == (BEFORE,):
        return [BEFORE]
    parsed = [parse_spec(spec) for spec in specs]
    return [{"name": cls.card.name, **cls(**options).config()} for cls, options in parsed]
