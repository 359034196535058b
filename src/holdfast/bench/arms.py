"""The cells' runs as arms of one result, and as a table without times that is always the same."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.cell.cell import Cell
from holdfast.evaluation.metrics import FIGURES
from holdfast.files.whole import write_whole
from holdfast.inputs.specs import parse_spec
from holdfast.results.records import BEFORE, PLAIN, Arm, Attack, SeedRun

__all__ = ["bench_arms", "table_rows", "write_table"]

_ARM = ("scenario", "p", "learning_rate", "steps", "rows")
_ATTACK = (*_ARM, "epochs")
Group = tuple[Any, ...]


def bench_arms(cells: Sequence[Cell], runs: Mapping[str, SeedRun]) -> list[Arm]:
    """Return one arm per scenario × attack × defense that has a run, in the recipe's order.

    A scenario that is not at its budget says so in its name, so that a defense is compared with
    plain fine-tuning under the same attack.
    """
    names, members = arm_names(cells), families(cells)
    arms: list[Arm] = []
    for group in grouped(cells):
        found = [runs[cell.key] for cell in group if cell.key in runs]
        if found:
            cell = group[0]
            untouched = cell.defenses == (BEFORE,)
            family, strength = members.get(cell.defenses, ("", None))
            arm = Arm.of(
                names[cell.scenario, cell.defenses],
                found,
                scenario=attack_name(cell),
                p=None if untouched else cell.p,
                settings=_options(cell),
                attack=None if untouched else Attack(**{k: getattr(cell, k) for k in _ATTACK}),
                control=is_control(cell.defenses),
                family=family,
                strength=strength,
            )
            arms.append(arm)
    return arms


def grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells that differ by their seed alone together, seeds in order."""
    groups: dict[Group, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((*(getattr(cell, key) for key in _ARM), cell.defenses), []).append(cell)
    return [sorted(group, key=lambda cell: cell.seed) for group in groups.values()]


def attack_name(cell: Cell) -> str:
    """Return the scenario and every knob that is not at the scenario's budget."""
    knobs = [
        f"{key}={getattr(cell, key):g}"
        for key in _ARM[2:]
        if getattr(cell, key) != getattr(cell.budget, key)
    ]
    return ", ".join([cell.scenario, *knobs])


def arm_names(cells: Sequence[Cell]) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return what each list of specs is called in each scenario: ``a+b``.

    A later variant of a scenario says its settings. Scenarios are named apart, since what suits the
    budget of one is a variant in another.
    """
    names: dict[tuple[str, tuple[str, ...]], str] = {}
    taken: set[tuple[str, str]] = set()
    for key in dict.fromkeys((cell.scenario, cell.defenses) for cell in cells):
        scenario, specs = key
        plain = "+".join(_name(spec) for spec in specs) or PLAIN
        full = "+".join(_name(spec, full=True) for spec in specs)
        names[key] = full if (scenario, plain) in taken else plain
        taken.add((scenario, names[key]))
    return names


def is_control(specs: Sequence[str]) -> bool:
    """Tell whether a list is there for comparison: noise, another subset of modules, strength 0."""
    return any(_is_control(spec) for spec in specs if spec != BEFORE)


def _is_control(spec: str) -> bool:
    cls, options = parse_spec(spec)
    other = options.get("subset", "robust") != "robust"
    off = options.get(cls.card.strength, getattr(cls, cls.card.strength)) == cls.card.off
    return other or off or cls.card.paper.startswith("control")


def families(cells: Sequence[Cell]) -> dict[tuple[str, ...], tuple[str, float]]:
    """Return (family, strength) of each list that others differ from in one strength alone.

    The family is the list's name without that strength; of several, the last defense's counts.
    """
    lists = [specs for specs in dict.fromkeys(c.defenses for c in cells) if specs != (BEFORE,)]
    found: dict[tuple[str, ...], tuple[str, float]] = {}
    for at in range(max(map(len, lists), default=0)):
        groups: dict[str, dict[tuple[str, ...], float]] = {}
        for specs in (specs for specs in lists if len(specs) > at):
            name, strength = _without_strength(specs, at)
            if strength is not None:
                groups.setdefault(name, {})[specs] = strength
        for name, group in groups.items():
            if len(group) > 1:
                found |= {specs: (name, strength) for specs, strength in group.items()}
    return found


def _without_strength(specs: tuple[str, ...], at: int) -> tuple[str, float | None]:
    """Return the list's name without the strength of its ``at``-th defense, and that strength."""
    cls, options = parse_spec(specs[at])
    strength = options.pop(cls.card.strength, getattr(cls, cls.card.strength))
    told = ",".join(f"{key}={value}" for key, value in sorted(options.items()))
    own = f"{cls.card.name}({told})" if told else cls.card.name
    rest = [_name(spec, full=True) for spec in specs]
    return "+".join([*rest[:at], own, *rest[at + 1 :]]), strength


def _name(spec: str, *, full: bool = False) -> str:
    if spec == BEFORE:
        return BEFORE
    cls, options = parse_spec(spec)
    subset = options.get("subset", "robust")
    if full:
        told = ",".join(f"{key}={value}" for key, value in options.items())
        return f"{cls.card.name}({told or 'default'})"
    return cls.card.name + ("" if subset == "robust" else f"({subset})")


def _options(cell: Cell) -> dict[str, Any]:
    """Return the hyperparameters of every defense of a cell, by its name."""
    resolved = [one for one in cell.settings["defenses"] if one != BEFORE]
    return {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in resolved}


def table_rows(cells: Sequence[Cell], runs: Mapping[str, SeedRun]) -> list[dict[str, Any]]:
    """Return one flat row per scenario × attack × defense, in the recipe's order, without times.

    Every figure has its mean over seeds and the ends of its 95 % interval: Wilson's for one seed,
    that of ``share_over_seeds`` for several.
    """
    names, rows = arm_names(cells), list[dict[str, Any]]()
    for group in grouped(cells):
        found = [runs[cell.key] for cell in group if cell.key in runs]
        arm = Arm.of("", found) if found else Arm(defense="")
        row: dict[str, Any] = {key: getattr(group[0], key) for key in _ARM}
        row |= {
            "defense": names[group[0].scenario, group[0].defenses],
            "spec": " + ".join(group[0].defenses),
        }
        row |= {"seeds": len(found), "missing": len(group) - len(found)}
        for figure in FIGURES:
            value = arm.figures.get(figure)
            row[figure] = None if value is None else value.value
            row[f"{figure}_low"] = None if value is None else value.low
            row[f"{figure}_high"] = None if value is None else value.high
        rows.append(row)
    return rows


def write_table(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write ``table.json`` and ``table.csv``.

    Raises:
        RunError: A file cannot be written.
    """
    write_whole(out / "table.json", json.dumps({"rows": list(rows)}, indent=1) + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(out / "table.csv", text.getvalue())
