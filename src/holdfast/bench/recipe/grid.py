"""A recipe becomes cells: scenario × attack knobs × defense × seed, checked before anything runs.

The untouched model (``before``) is one cell per scenario. ``p`` is swept in ``harmful_mix`` alone;
the other scenarios are benign and have p = 0. A sweep is one more grid
that differs from the recipe; cells that grids share are run once.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from holdfast.bench.cell.cell import Cell, attack_on
from holdfast.bench.recipe.files import merged
from holdfast.bench.recipe.model import file_subject
from holdfast.bench.recipe.values import (
    flag_of,
    knob_of,
    list_of,
    number_of,
    refuse_many,
    refuse_no_rows,
    seeds_of,
    told_in,
)
from holdfast.bench.subject.organism import (
    MIXED,
    ORGANISM_SUBJECT,
    OrganismSubject,
    Subject,
    weights_sha256,
)
from holdfast.defense import Stage
from holdfast.errors import ConfigError, nearest
from holdfast.inputs.specs import Spec, build_defenses, model_fields
from holdfast.results.records import BEFORE, PLAIN

__all__ = ["expand"]

SPLITS = ("test", "validation", "ood")
_KNOBS: dict[str, Any] = {
    "p": float, "learning_rate": float | None, "steps": int | None, "epochs": float | None,
    "rows": int, "batch": int | None,
}  # fmt: skip
_OF_THE_MODEL = ("model", "organism", "files", "training")
"""What a recipe says once: its sweeps cannot differ in it."""
_SIZES = ("items_per_kind", "defender_rows", "benign_rows", "validation_rows")


def expand(recipe: Mapping[str, Any], where: str = "recipe") -> list[Cell]:
    """Return the cells of a recipe, in order; cells shared by its grids once.

    Raises:
        ConfigError: A value is unknown, of another type or out of range, a grid names a cell
            twice, has no seeds, sweeps differ in what no table shows, or a defense cannot run
            (ConflictError: two exclude each other).
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
    _refuse_mixed(list(cells.values()), where)
    return list(cells.values())


def _subject(recipe: Mapping[str, Any], where: str) -> Subject:
    folder = recipe["organism"]
    if recipe["model"] != ORGANISM_SUBJECT.name:
        if folder is not None:
            raise ConfigError(
                f"{where}: organism is a folder of the organism, and model is another"
            )
        return file_subject(recipe, where)
    for key in ("files", "training"):
        if recipe[key]:
            raise ConfigError(
                f"{where}: {key} is for another model, and model is 'organism', which brings its "
                "own: name the model, or leave it out"
            )
    if folder is None:
        return ORGANISM_SUBJECT
    with told_in(where):
        OrganismSubject(path=str(folder)).load()
        return OrganismSubject(path=str(folder), weights=weights_sha256(str(folder)))


def _grid(grid: Mapping[str, Any], subject: Subject, where: str) -> list[Cell]:
    named = list_of(grid["scenarios"], "scenarios", where)
    names = [_scenario(name, subject.scenarios, where) for name in named]
    defenses = [_defense(one, where) for one in list_of(grid["defenses"], "defenses", where)]
    knobs = {key: knob_of(key, grid[key], hint, where) for key, hint in _KNOBS.items()}
    sizes: dict[str, Any] = {key: number_of(key, grid[key], int, where) for key in _SIZES}
    sizes |= {"split": _split(grid["split"], where), "subject": subject}
    sizes |= {"movement": flag_of("movement", grid["movement"], where)}
    if any(knobs["steps"]) and any(knobs["epochs"]):
        raise ConfigError(f"{where}: steps and epochs are both given; give one of them")
    seeds = seeds_of(grid["seeds"], where)
    _check_defenses(defenses, names, sizes, where)
    found: list[Cell] = []
    for name in names:
        if None in defenses:
            found.append(Cell(name, (), None, 0, **sizes))
        # Benign data have no harmful rows: without this a sweep of p would repeat the same cell.
        shares = knobs["p"] if name == MIXED else [0.0]
        values: Any = product(*({**knobs, "p": shares}[key] for key in _KNOBS))
        refuse_many(len(defenses) * len(seeds) * prod(map(len, knobs.values())), where)
        points: Any = [dict(zip(_KNOBS, setting, strict=True)) for setting in values]
        attacks = [attack_on(name, subject.budget(name), **point) for point in points]
        refuse_no_rows(attacks, where)
        tuned = [specs for specs in defenses if specs is not None]
        for attack, specs in product(attacks, tuned):
            found += [Cell(name, specs, attack, seed, **sizes) for seed in seeds]
    _refuse_duplicates(found, where)
    if subject.real:
        _check_rows([cell for cell in found if cell.attack], where)
    return found


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


def _defense(given: Any, where: str) -> tuple[Spec, ...] | None:
    """Return the specs of one entry, text or a list of text; None is the untouched model."""
    parts = given if isinstance(given, list) else [given]
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"{where}: defense {given!r} is no name, NAME:key=value, or list of them")
    if len(parts) > 1 and {PLAIN, BEFORE} & set(parts):
        raise ConfigError(f"{where}: defense {given!r}: none and before stand alone")
    if parts == [BEFORE]:
        return None
    with told_in(where):
        return () if parts == [PLAIN] else tuple(map(Spec.parse, parts))


def _check_defenses(
    defenses: Sequence[tuple[Spec, ...] | None],
    names: Sequence[str],
    sizes: Mapping[str, Any],
    where: str,
) -> None:
    subject = sizes["subject"]
    data = subject.defender(sizes, names[0], 0)
    if sizes["movement"] and not {"harmful", "benign"} <= data.keys():
        raise ConfigError(f"{where}: movement needs files of harmful and of benign rows: name both")
    for specs in (specs for specs in defenses if specs is not None):
        with told_in(where):
            build_defenses(specs, data, model_fields(specs, subject.folders().get))
            _ = [spec.variant for spec in specs]  # A name that no table can hold is refused here.
            if any(spec.card.stage is Stage.ALIGN for spec in specs):
                subject.alignment(0)


def _check_rows(cells: Sequence[Cell], where: str) -> None:
    """Draw each amount of the user's rows once: a file may have too few."""
    drawn = {(cell.scenario, cell.point.rows, cell.point.p): cell for cell in cells}
    for cell in drawn.values():
        with told_in(where):
            _ = cell.user_rows


def _refuse_duplicates(cells: Sequence[Cell], where: str) -> None:
    seen: set[str] = set()
    for cell in cells:
        if cell.key in seen:
            raise ConfigError(f"{where}: this cell is named twice: {cell.label}; name it once")
        seen.add(cell.key)


def _refuse_mixed(cells: Sequence[Cell], where: str) -> None:
    """Refuse two cells that would be one arm's runs of one seed: grids of other sizes or splits."""
    seen: dict[Any, Cell] = {}
    for cell in cells:
        other = seen.setdefault((cell.point, cell.specs, cell.seed), cell)
        if other is not cell:
            ours, theirs = cell.settings, other.settings
            pairs = {key: (theirs.get(key, False), ours.get(key, False)) for key in ours | theirs}
            apart = [f"{key}={a} and {b}" for key, (a, b) in pairs.items() if a != b]
            raise ConfigError(
                f"{where}: its sweeps have this cell twice, with {', '.join(apart)}: {cell.label}; "
                "tables do not tell these apart: give the other a recipe and a folder of its own"
            )
