"""What the intervals attain, by simulation of runs whose truth is known.

A run answers item p of seed s with probability ``sigmoid(shift + a_s + b_p)``: ``a`` differs by
run, ``b`` by prompt. The truth is the share over all runs and prompts. Everything is seeded. The
method was chosen on the settings of ``chosen_on``, with other draws; ``confirmed_on`` had no part
in the choice, and ``beyond`` holds runs that differ more than the method can follow.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from holdfast.evaluation.crossed import mean_squares
from holdfast.evaluation.fronts import worst_case
from holdfast.evaluation.statistics import (
    Hits,
    Interval,
    bootstrap_weights,
    paired_difference,
    share_over_seeds,
    wilson,
)
from holdfast.report.provenance import this_machine, versions

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


def draw(generator: np.random.Generator, seeds: int, shift: float, runs: float, b: Table) -> Table:
    """Return hits ``[seeds, prompts]`` as 0.0 and 1.0."""
    logit = shift + generator.normal(0, runs, (seeds, 1)) + b
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
    return Interval(float(low), float(high))


def before(table: Table, now: Interval, *, share: bool) -> Interval:
    """Return the interval used second: Satterthwaite's df as it stands, shares by Wilson's formula.

    Tables whose answers are all alike have the same interval then and ``now``.
    """
    if np.all(table == table.flat[0]):
        return now
    squares, mean = mean_squares(table), float(table.mean())
    runs = squares.runs / table.size
    items = max(squares.prompts - squares.rest, 0.0) / table.size
    seeds, prompts = table.shape
    freedom = (runs + items) ** 2 / (runs**2 / (seeds - 1) + items**2 / (prompts - 1))
    half = float(special.stdtrit(freedom, 0.975)) * math.sqrt(runs + items)
    if not share:
        return Interval(max(-1.0, mean - half), min(1.0, mean + half))
    spread = mean * (1 - mean)
    ratio = half**2 / spread
    center, half = mean + ratio / 2, math.sqrt(ratio * spread + ratio**2 / 4)
    return Interval((center - half) / (1 + ratio), (center + half) / (1 + ratio))


def wilson_coverage(n: int) -> dict[str, float]:
    """Return the exact coverage over shares from .02 to .98: its mean and its range."""
    shares, counts = np.linspace(0.02, 0.98, 961), np.arange(n + 1)
    ends = [wilson(int(k), n) for k in counts]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    inside = (low <= shares[:, None]) & (shares[:, None] <= high)
    coverage = (stats.binom.pmf(counts, n, shares[:, None]) * inside).sum(axis=1)
    return {"n": n, "mean": coverage.mean(), "least": coverage.min(), "most": coverage.max()}


def _intervals(
    figure: str, setting: Setting, seeds: int, generator: np.random.Generator
) -> tuple[Table, Interval, Interval]:
    """Draw once; return the table or the gap with the intervals of it now and before."""
    shift, runs, prompts = setting
    b = generator.normal(0, prompts, PROMPTS)
    table = draw(generator, seeds, shift, runs, b)
    if figure == "share":
        share = share_over_seeds(_hits(table))
        now = Interval(share.low, share.high)
        return table, now, before(table, now, share=True)
    ours = draw(generator, seeds, ours_at(shift), runs, b)
    gap = paired_difference(_hits(ours), _hits(table))
    now = Interval(gap.low, gap.high)
    return ours - table, now, before(ours - table, now, share=False)


def ours_at(shift: float) -> float:
    """Return our side's shift: -1.5 logits from theirs, or none where harm is rare already."""
    return shift - 1.5 if shift >= -1.0 else shift


def cell(figure: str, setting: Setting, seeds: int, repeats: int, key: list[int]) -> dict[str, Any]:
    """Return the coverage and mean width of each method; the percentile on a tenth of the draws."""
    generator = np.random.default_rng(key)
    shift, runs, prompts = setting
    spread = float(np.hypot(runs, prompts))
    target = truth(shift, spread)
    if figure == "difference":
        target = truth(ours_at(shift), spread) - target
    found: dict[str, list[Interval]] = {method: [] for method in METHODS}
    for i in range(repeats):
        table, now, earlier = _intervals(figure, setting, seeds, generator)
        found["now"].append(now)
        found["before"].append(earlier)
        if i % 10 == 0:
            found["percentile"].append(percentile(table, generator))
    row: dict[str, Any] = {"shift": shift, "between_runs": runs, "between_prompts": prompts}
    row["truth"] = target
    for method, ones in found.items():
        row[f"coverage_{method}"] = float(np.mean([o.low <= target <= o.high for o in ones]))
        row[f"width_{method}"] = float(np.mean([o.high - o.low for o in ones]))
    row["missed_above"] = float(np.mean([target > o.high for o in found["now"]]))
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
    generator = np.random.default_rng(0)
    calls: dict[str, int] = {"interval": 0, "mcnemar_of_the_first_seed": 0}
    for _ in range(repeats):
        b = generator.normal(0, 1, PROMPTS) + (generator.normal(0, runs) if seeds == 1 else 0)
        own = 0.0 if seeds == 1 else runs
        ours, theirs = (draw(generator, seeds, 0.0, own, b) for _ in range(2))
        found = paired_difference(_hits(ours), _hits(theirs))
        calls["interval"] += found.low > 0 or found.high < 0
        calls["mcnemar_of_the_first_seed"] += found.p_values[0] < 0.05
    shares = {name: count / repeats for name, count in calls.items()}
    return {"seeds": seeds, "between_runs": runs, "simulations": repeats, **shares}


def worst_coverage(shifts: tuple[float, ...], runs: float, repeats: int) -> dict[str, Any]:
    """Return how often the worst case's interval holds the true maximum, at five seeds."""
    generator = np.random.default_rng(9)
    target = max(truth(shift, runs) for shift in shifts)
    nothing = np.zeros(PROMPTS)
    found = [
        worst_case([_hits(draw(generator, 5, shift, runs, nothing)) for shift in shifts])
        for _ in range(repeats)
    ]
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
            values = [row[f"coverage_{method}"] for row in kept]
            head = {"set": name, "figure": figure, "seeds": seeds, "method": method}
            width = float(np.mean([row[f"width_{method}"] for row in kept]))
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
