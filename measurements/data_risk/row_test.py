"""The row test: is a set less harmful without the rows that score highest than without any rows?

Of one harmless set and one with harmful rows, five seeds of each: the top 10 % are dropped by each
score, by the guard and at random; and the organism is tuned on the top, bottom and random 100.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from holdfast.files.guarded.documents import json_in
from measurements.data_risk.cells import tuned_once
from measurements.data_risk.scoring import guard, scorer
from measurements.data_risk.sets import RiskSet, rows_of

__all__ = [
    "COMPONENTS", "SEEDS", "TESTED", "arm_file", "arms", "collected", "drops", "guards", "results",
    "run_rows",
]  # fmt: skip

TESTED = (RiskSet("new_recipes", 500, 0.2), RiskSet("task", 500, 0.0, 0.05))
"""Chosen by what tuning on them did at seed 0, before a score was seen: HS .69 and 1.0."""
SEEDS = (10, 11, 12, 13, 14)
"""Seeds that no set was tuned with."""
COMPONENTS = ("push", "gap", "anchor")
DROPPED, TAKEN = 0.1, 100


def arms(one: RiskSet, columns: Mapping[str, Sequence[Any]], seed: int) -> dict[str, list[int]]:
    """Return arm → the rows that are tuned on, in their order; ties are broken at random."""
    random = Random(f"rows-{one.name}-{seed}")  # noqa: S311
    chance = list(range(one.n))
    random.shuffle(chance)
    found = drops(chance, columns, (*COMPONENTS, *guards(one)))
    if one.harmless:
        for name in COMPONENTS:
            order = ranked(chance, columns[name])
            found[f"top {name}"], found[f"bottom {name}"] = order[:TAKEN], order[-TAKEN:]
        found["random 100"] = chance[-TAKEN:]
    return {name: sorted(rows) for name, rows in found.items()}


def guards(one: RiskSet) -> tuple[str, ...]:
    """Return the guard where it flags a row: else dropping by it is dropping at random."""
    return () if one.harmless else ("guard",)


def drops(
    chance: Sequence[int], columns: Mapping[str, Sequence[Any]], names: Sequence[str]
) -> dict[str, list[int]]:
    """Return all rows, and what is left of them without a tenth: at random, and by each column.

    Args:
        chance: The rows in a random order, by which ties are broken.
        columns: Each column's values, row by row.
        names: Columns whose highest rows are dropped.
    """
    cut = round(DROPPED * len(chance))
    by_column = {f"drop {name}": ranked(chance, columns[name])[cut:] for name in names}
    return {"all": list(chance), "drop random": list(chance[cut:]), **by_column}


def ranked(chance: Sequence[int], column: Sequence[Any]) -> list[int]:
    """Return the rows by a column, highest first."""
    return sorted(chance, key=lambda n: column[n], reverse=True)


def run_rows(out: Path) -> None:
    """Tune on every arm at every seed; the drops of all seeds first."""
    every = [(one, seed) for one in TESTED for seed in SEEDS]
    chosen = {}
    for one, seed in every:
        rows = rows_of(one, seed)
        columns = {name: list(own) for name, own in scorer(out).values(rows).values.items()}
        chosen[one, seed] = arms(one, columns | {"guard": guard(rows)}, seed)
    for first in ("all", "drop", ""):
        for (one, seed), found in chosen.items():
            for name, picked in found.items():
                if name.startswith(first):
                    target = arm_file(out, one, name, seed)
                    got = tuned_once(target, rows_of(one, seed).select(picked), seed)
                    said = f"HS {got['hs']:.2f} FA {got['fa']:.2f}"
                    print(f"{one.name} seed {seed} {name}: {said}", flush=True)


def results(out: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return set → arm → what each seed gave, of the seeds that have run."""
    names = ["all", "drop random", *(f"drop {c}" for c in (*COMPONENTS, "guard"))]
    names += [f"{side} {c}" for c in COMPONENTS for side in ("top", "bottom")] + ["random 100"]
    return collected(out, TESTED, names)


def collected(
    out: Path, sets: Sequence[RiskSet], names: Sequence[str]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return set → arm → what each seed gave, of the seeds that have run."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for one in sets:
        for name in names:
            files = [arm_file(out, one, name, seed) for seed in SEEDS]
            if got := [json_in(file) for file in files if file.exists()]:
                found.setdefault(one.name, {})[name] = got
    return found


def arm_file(out: Path, one: RiskSet, name: str, seed: int) -> Path:
    """Return where what one arm of a set gave at a seed is kept."""
    return out / "rows" / f"{one.name}-{name.replace(' ', '-')}-s{seed}.json"
