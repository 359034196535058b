"""What the intervals attain, by simulation of runs whose truth is known.

A run answers item p of seed s with probability ``sigmoid(shift + a_s + b_p)``: ``a`` differs by
run, ``b`` by prompt. The truth is the share over all runs and prompts. Everything is seeded. The
method was chosen on the settings of ``chosen_on``, with other draws; ``confirmed_on`` had no part
in the choice, and ``beyond`` holds runs that differ more than the method can follow.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from holdfast.evaluation.crossed import difference_ends, mean_squares, share_ends
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.resampling import bootstrap_weights
from holdfast.evaluation.settings.worst_case import worst_case
from holdfast.evaluation.statistics import (
    Hits,
    mcnemar,
    paired_difference,
    share_over_seeds,
    wilson,
)
from holdfast.results.provenance import this_machine, versions

PROMPTS = 100
SEEDS = (3, 5, 10)
Setting: TypeAlias = tuple[float, float, float]  # shift, sd between runs, sd between prompts
SETS: dict[str, list[Setting]] = {
    "chosen_on": list(product((-3.0, 0.0), (0.0, 0.3, 1.0), (0.0, 2.0))),
    "confirmed_on": list(product((-2.0, -1.0), (0.0, 0.6, 1.0), (0.0, 1.0))),
    "beyond": list(product((-4.0, -2.0), (1.5,), (0.0, 1.5))),
}
METHODS = ("now", "before", "percentile")
Table: TypeAlias = NDArray[np.float64]
Ends: TypeAlias = tuple[Table, Table]  # lower and upper, one of each table


def draw(
    generator: np.random.Generator, size: tuple[int, int], shift: float, runs: float, b: Table
) -> Table:
    """Return hits ``[draws, seeds, prompts]`` as 0.0 and 1.0, of ``size`` [draws, seeds]."""
    logit = shift + generator.normal(0, runs, (*size, 1)) + b[:, None, :]
    return (generator.random(logit.shape) < special.expit(logit)).astype(float)


def _hits(table: Table) -> Hits:
    """Return a table of 0.0 and 1.0 as hits; an array is read as its rows, and sooner."""
    return cast(Hits, table)


def truth(shift: float, spread: float) -> float:
    """Return E[sigmoid(N(shift, spread))] by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float((weights / (1 + np.exp(-(shift + spread * nodes)))).sum() / weights.sum())


def percentile(table: Table, generator: np.random.Generator) -> Interval:
    """Return the percentile interval over resampled seeds and prompts that was used first."""
    seeds, prompts = (bootstrap_weights(size, 400, generator) for size in table.shape)
    low, high = np.quantile(((seeds @ table) * prompts).sum(axis=1), [0.025, 0.975])
    return Interval(float(table.mean()), float(low), float(high))


def before(tables: Table, *, share: bool) -> Ends:
    """Return the intervals used second: Satterthwaite's df as it stands, shares by Wilson."""
    runs, items = mean_squares(tables).variances(tables.shape)
    seeds, prompts = tables.shape[-2:]
    freedom = (runs + items) ** 2 / (runs**2 / (seeds - 1) + items**2 / (prompts - 1))
    mean, half = tables.mean(axis=(-2, -1)), special.stdtrit(freedom, 0.975)
    half = half * np.sqrt(runs + items)
    if not share:
        return np.maximum(-1.0, mean - half), np.minimum(1.0, mean + half)
    spread = mean * (1 - mean)
    ratio = half**2 / spread
    center, half = mean + ratio / 2, np.sqrt(ratio * spread + ratio**2 / 4)
    return (center - half) / (1 + ratio), (center + half) / (1 + ratio)


def intervals(ours: Table, theirs: Table | None) -> dict[str, Ends]:
    """Return the intervals of shares, or of ``ours - theirs``, now and before.

    Tables whose answers are all alike have the public functions' own interval, both times.
    """
    tables = ours if theirs is None else ours - theirs
    alike = (tables == tables[:, :1, :1]).all(axis=(1, 2))
    own = [
        share_over_seeds(_hits(ours[i]))
        if theirs is None
        else paired_difference(_hits(ours[i]), _hits(theirs[i]))
        for i in np.flatnonzero(alike)
    ]
    of = share_ends if theirs is None else difference_ends
    found = {
        "now": of(tables[~alike], 0.95),
        "before": before(tables[~alike], share=theirs is None),
    }
    alone = [one.low for one in own], [one.high for one in own]
    return {
        name: (np.append(low, alone[0]), np.append(high, alone[1]))
        for name, (low, high) in found.items()
    }


def wilson_coverage(n: int) -> dict[str, float]:
    """Return the exact coverage over shares from .02 to .98: its mean and its range."""
    shares, counts = np.linspace(0.02, 0.98, 961), np.arange(n + 1)
    ends = [wilson(int(k), n) for k in counts]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    inside = (low <= shares[:, None]) & (shares[:, None] <= high)
    coverage = (stats.binom.pmf(counts, n, shares[:, None]) * inside).sum(axis=1)
    return {"n": n, "mean": coverage.mean(), "least": coverage.min(), "most": coverage.max()}


def ours_at(shift: float) -> float:
    """Return our side's shift: -1.5 logits from theirs, or none where harm is rare already."""
    return shift - 1.5 if shift >= -1.0 else shift


def cell(figure: str, setting: Setting, seeds: int, repeats: int, key: list[int]) -> dict[str, Any]:
    """Return the coverage and mean width of each method in one setting.

    The percentile is slow: it is drawn for 200 tables, and where runs differ by 1 logit only.
    """
    generator = np.random.default_rng(key)
    shift, runs, prompts = setting
    size, b = (repeats, seeds), generator.normal(0, prompts, (repeats, PROMPTS))
    spread = float(np.hypot(runs, prompts))
    target, theirs, ours = truth(shift, spread), None, draw(generator, size, shift, runs, b)
    if figure == "difference":
        theirs, ours = ours, draw(generator, size, ours_at(shift), runs, b)
        target = truth(ours_at(shift), spread) - target
    found = intervals(ours, theirs)
    if runs == 1.0:
        some = (ours if theirs is None else ours - theirs)[:200]
        drawn = [percentile(table, generator) for table in some]
        found["percentile"] = np.array([d.low for d in drawn]), np.array([d.high for d in drawn])
    row: dict[str, Any] = {"shift": shift, "between_runs": runs, "between_prompts": prompts}
    row |= {"truth": target, "missed_above": float(np.mean(target > found["now"][1]))}
    for method, (low, high) in found.items():
        row[f"coverage_{method}"] = float(np.mean((low <= target) & (target <= high)))
        row[f"width_{method}"] = float(np.mean(high - low))
    return row


def coverage(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield every cell: set of settings, figure, number of seeds, setting."""
    for at, (name, settings) in enumerate(SETS.items()):
        for figure, seeds in product(("share", "difference"), SEEDS):
            for i, setting in enumerate(settings):
                key = [5, at, figure == "share", seeds, i]
                row = cell(figure, setting, seeds, repeats, key)
                yield {"set": name, "figure": figure, "seeds": seeds} | row


def null_calls(seeds: int, runs: float, repeats: int) -> dict[str, Any]:
    """Return how often a difference of nothing is called significant.

    One seed speaks of its own pair of runs alone, so there the sides share the run's effect.
    """
    generator = np.random.default_rng([0, seeds, round(10 * runs)])
    b = generator.normal(0, 1, (repeats, PROMPTS))
    own, size = (0.0 if seeds == 1 else runs), (repeats, seeds)
    if seeds == 1:
        b = b + generator.normal(0, runs, (repeats, 1))
    ours, theirs = (draw(generator, size, 0.0, own, b) for _ in range(2))
    if seeds == 1:
        pairs = zip(ours, theirs, strict=True)
        ones = [paired_difference(_hits(a), _hits(b)) for a, b in pairs]
        called = [one.low > 0 or one.high < 0 for one in ones]
    else:
        low, high = intervals(ours, theirs)["now"]
        called = (low > 0) | (high < 0)
    firsts = zip(ours[:, 0].tolist(), theirs[:, 0].tolist(), strict=True)
    shares = {
        "interval": float(np.mean(called)),
        "mcnemar_of_the_first_seed": float(np.mean([mcnemar(a, b) < 0.05 for a, b in firsts])),
    }
    return {"seeds": seeds, "between_runs": runs, "simulations": repeats} | shares


def worst_coverage(shifts: tuple[float, ...], runs: float, repeats: int) -> dict[str, Any]:
    """Return how often the worst case's interval holds the true maximum, at five seeds."""
    generator = np.random.default_rng(9)
    target = max(truth(shift, runs) for shift in shifts)
    nothing = np.zeros((repeats, PROMPTS))
    drawn = np.stack([draw(generator, (repeats, 5), at, runs, nothing) for at in shifts], axis=1)
    found = [worst_case([_hits(one) for one in tables]) for tables in drawn]
    covered = float(np.mean([one.low <= target <= one.high for one in found]))
    lean = float(np.mean([one.value for one in found])) - target
    return {"shifts": shifts, "between_runs": runs, "coverage": covered, "lean": lean}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return least, mean and most coverage and the mean width by set, figure, seeds and method."""
    found: list[dict[str, Any]] = []
    reach: dict[str, Callable[[list[float]], Any]] = {"least": min, "mean": np.mean, "most": max}
    for name, figure, seeds in product(SETS, ("share", "difference"), SEEDS):
        kept = [r for r in rows if (r["set"], r["figure"], r["seeds"]) == (name, figure, seeds)]
        for method in METHODS:
            values = [row[f"coverage_{method}"] for row in kept if f"coverage_{method}" in row]
            if not values:
                continue
            head = {"set": name, "figure": figure, "seeds": seeds, "method": method}
            width = float(np.nanmean([row.get(f"width_{method}", np.nan) for row in kept]))
            found.append(
                head | {key: float(of(values)) for key, of in reach.items()} | {"width": width}
            )
    return found


def main() -> None:
    """Simulate, print the summary and write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000, help="simulations of each setting")
    parser.add_argument("--out", type=Path, default=Path("results/statistics_check.json"))
    given = parser.parse_args()
    rows = list(coverage(given.repeats))
    null = [
        null_calls(seeds, runs, max(500, given.repeats))
        for seeds, runs in product((1, *SEEDS), (0.0, 0.3, 1.0))
    ]
    worst = [
        worst_coverage(shifts, runs, given.repeats // 4)
        for shifts, runs in product(((-1.0,) * 6, (-2.0, -1.0, 0.0)), (0.0, 0.5))
    ]
    told = summary(rows)
    result = {
        "nominal": 0.95,
        "prompts": PROMPTS,
        "simulations": given.repeats,
        "wilson_exact": [wilson_coverage(n) for n in (20, 50, 100, 200, 400)],
        "summary": told,
        "coverage": rows,
        "null_called_significant": null,
        "worst_case": worst,
        "versions": versions(),
        "machine": this_machine().model_dump(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told + null + worst, indent=1))


if __name__ == "__main__":
    main()
