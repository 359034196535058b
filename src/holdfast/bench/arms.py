"""The cells' runs as arms of one result, and as a table without times that is always the same."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.cell.cell import Cell, attack_on
from holdfast.comparisons.exports import csv_text, interval_columns
from holdfast.evaluation.metrics import FIGURES
from holdfast.files.whole import write_whole
from holdfast.inputs.specs import Spec
from holdfast.results.costs import perplexity_over
from holdfast.results.records import BEFORE, PLAIN, Arm, SeedRun

__all__ = [
    "arm_names", "attack_name", "bench_arms", "families", "grouped", "is_control", "table_rows",
    "write_table",
]  # fmt: skip

Specs = tuple[Spec, ...]


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
            family, strength = members.get(cell.defenses, ("", None))
            arm = Arm.of(
                names[cell.scenario, cell.specs],
                found,
                scenario=attack_name(cell),
                p=cell.attack and cell.attack.p,
                settings=_options(cell),
                attack=cell.attack,
                control=is_control(cell.defenses),
                family=family,
                strength=strength,
            )
            arms.append(arm)
    return arms


def grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells that differ by their seed alone together, seeds in order."""
    groups: dict[Any, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.point, cell.specs), []).append(cell)
    return [sorted(group, key=lambda cell: cell.seed) for group in groups.values()]


def attack_name(cell: Cell) -> str:
    """Return the scenario and every knob that is not at the scenario's budget."""
    usual = attack_on(cell.scenario, cell.subject.budget(cell.scenario), cell.point.p).knobs
    knobs = [f"{k}={value:g}" for k, value in cell.point.knobs.items() if value != usual.get(k)]
    return ", ".join([cell.scenario, *knobs])


def arm_names(cells: Sequence[Cell]) -> dict[tuple[str, str], str]:
    """Return what each list of specs is called, by (scenario, specs): ``a+b``.

    A later variant of a scenario says its settings. Scenarios are named apart, since what suits the
    budget of one is a variant in another.
    """
    names: dict[tuple[str, str], str] = {}
    taken: set[tuple[str, str]] = set()
    for cell in cells:
        scenario, specs = key = cell.scenario, cell.specs
        if key in names:
            continue
        plain = "+".join(map(_name, cell.defenses)) or specs or PLAIN
        full = "+".join(spec.told for spec in cell.defenses)
        names[key] = full if (scenario, plain) in taken else plain
        taken.add((scenario, names[key]))
    return names


def is_control(specs: Sequence[Spec]) -> bool:
    """Tell whether a list is there for comparison: noise, another subset of modules, strength 0."""
    return any(spec.variant.control for spec in specs)


def families(cells: Sequence[Cell]) -> dict[Specs, tuple[str, float]]:
    """Return (family, strength) of each list that others differ from in one strength alone.

    The family is the list's name without that strength; of several, the last defense's counts.
    """
    lists = list(dict.fromkeys(cell.defenses for cell in cells))
    found: dict[Specs, tuple[str, float]] = {}
    for at in range(max(map(len, lists), default=0)):
        groups: dict[str, dict[Specs, float]] = {}
        for specs in (specs for specs in lists if len(specs) > at):
            name, strength = _without_strength(specs, at)
            if strength is not None:
                groups.setdefault(name, {})[specs] = strength
        for name, group in groups.items():
            if len(group) > 1:
                found |= {specs: (name, strength) for specs, strength in group.items()}
    return found


def _without_strength(specs: Specs, at: int) -> tuple[str, float | None]:
    """Return the list's name without the strength of its ``at``-th defense, and that strength."""
    spec = specs[at]
    left = [(key, value) for key, value in spec.options.items() if key != spec.card.strength]
    told = ",".join(f"{key}={value}" for key, value in sorted(left))
    own = f"{spec.card.name}({told})" if told else spec.card.name
    rest = [spec.told for spec in specs]
    return "+".join([*rest[:at], own, *rest[at + 1 :]]), getattr(spec.bare, spec.card.strength)


def _name(spec: Spec) -> str:
    label = spec.variant.label
    return spec.card.name + (f"({label})" if label else "")


def _options(cell: Cell) -> dict[str, Any]:
    """Return the hyperparameters of every defense of a cell, by its name."""
    resolved = [one for one in cell.settings["defenses"] if one != BEFORE]
    return {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in resolved}


def table_rows(cells: Sequence[Cell], runs: Mapping[str, SeedRun]) -> list[dict[str, Any]]:
    """Return one flat row per scenario × attack × defense, in the recipe's order, without times.

    Every figure has its mean over seeds and the ends of its 95 % interval: Wilson's for one seed,
    that of ``share_over_seeds`` for several. Perplexity has columns where any cell measured it.
    """
    names, rows = arm_names(cells), list[dict[str, Any]]()
    asked = any(run.perplexity is not None for run in runs.values())
    for group in grouped(cells):
        found = [runs[cell.key] for cell in group if cell.key in runs]
        arm = Arm.of("", found) if found else Arm(defense="")
        row = group[0].point.knobs
        specs = group[0].specs
        row |= {"defense": names[group[0].scenario, specs], "spec": specs}
        row |= {"seeds": len(found), "missing": len(group) - len(found)}
        for figure in FIGURES:
            row |= interval_columns(figure, arm.figures.get(figure))
        if asked:
            row |= interval_columns("perplexity", perplexity_over(found))
        rows.append(row)
    return rows


def write_table(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write ``table.json`` and ``table.csv``.

    Raises:
        RunError: A file cannot be written.
    """
    write_whole(out / "table.json", json.dumps({"rows": list(rows)}, indent=1) + "\n")
    write_whole(out / "table.csv", csv_text(rows))
