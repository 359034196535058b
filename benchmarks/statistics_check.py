"""What the intervals attain, by simulation of runs whose truth is known.

A run answers item p of seed s with probability ``sigmoid(shift + a_s + b_p)``: ``a`` differs by
run, ``b`` by prompt. The truth is the share over all runs and prompts. Everything is seeded.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from holdfast.evaluation.fronts import worst_case
from holdfast.evaluation.statistics import (
    Interval,
    bootstrap_weights,
    mcnemar,
    paired_difference,
    share_over_seeds,
    wilson,
)
from holdfast.report.provenance import this_machine, versions

PROMPTS = 100
SEEDS = (3, 5, 10)
SETTINGS = tuple(product((-3.0, 0.0), (0.0, 0.3, 1.0), (0.0, 2.0)))  # shift, runs, prompts
Table = NDArray[np.float64]


def draw(generator: np.random.Generator, seeds: int, shift: float, runs: float, b: Table) -> Table:
    """Return hits ``[seeds, prompts]`` as 0.0 and 1.0."""
    logit = shift + generator.normal(0, runs, (seeds, 1)) + b
    return (generator.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float)


def _hits(table: Table) -> list[list[bool]]:
    """Return a table of 0.0 and 1.0 as hits."""
    return table.astype(bool).tolist()


def truth(shift: float, spread: float) -> float:
    """Return E[sigmoid(N(shift, spread))] by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float((weights / (1 + np.exp(-(shift + spread * nodes)))).sum() / weights.sum())


def percentile(table: Table, generator: np.random.Generator) -> Interval:
    """Return the percentile interval over resampled seeds and prompts that was used before."""
    seeds, prompts = (bootstrap_weights(size, 400, generator) for size in table.shape)
    low, high = np.quantile(((seeds @ table) * prompts).sum(axis=1), [0.025, 0.975])
    return Interval(float(low), float(high))


def wilson_coverage(n: int) -> dict[str, float]:
    """Return the exact coverage over shares from .02 to .98: its mean and its range."""
    shares, counts = np.linspace(0.02, 0.98, 961), np.arange(n + 1)
    ends = [wilson(int(k), n) for k in counts]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    inside = (low <= shares[:, None]) & (shares[:, None] <= high)
    coverage = (stats.binom.pmf(counts, n, shares[:, None]) * inside).sum(axis=1)
    return {"n": n, "mean": coverage.mean(), "least": coverage.min(), "most": coverage.max()}


def coverage(figure: str, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage of ``figure`` ("share" or "difference") in every setting, both methods."""
    for seeds, (shift, runs, prompts) in product(SEEDS, SETTINGS):
        generator = np.random.default_rng(5)
        found: dict[str, list[bool]] = {"now": [], "percentile": []}
        widths: dict[str, list[float]] = {"now": [], "percentile": []}
        spread = float(np.hypot(runs, prompts))
        # The difference shifts our side by -1.5 logits, unless harm is rare already: then by 0.
        ours_at = shift - 1.5 if shift == 0.0 else shift
        target = truth(shift, spread)
        if figure == "difference":
            target = truth(ours_at, spread) - target
        for _ in range(repeats):
            b = generator.normal(0, prompts, PROMPTS)
            table = draw(generator, seeds, shift, runs, b)
            if figure == "share":
                now, gap = share_over_seeds(_hits(table)), table
            else:
                ours = draw(generator, seeds, ours_at, runs, b)
                now, gap = paired_difference(_hits(ours), _hits(table)), ours - table
            for name, one in (("now", now), ("percentile", percentile(gap, generator))):
                found[name].append(one.low <= target <= one.high)
                widths[name].append(one.high - one.low)
        yield {
            "figure": figure,
            "seeds": seeds,
            "shift": shift,
            "between_runs": runs,
            "between_prompts": prompts,
            "truth": target,
            **{f"coverage_{k}": float(np.mean(v)) for k, v in found.items()},
            **{f"width_{k}": float(np.mean(v)) for k, v in widths.items()},
        }


def null_calls(seeds: int, runs: float, repeats: int) -> dict[str, Any]:
    """Return how often a difference of nothing is called significant.

    One seed speaks of its own pair of runs alone, so there the sides share the run's effect.
    """
    generator = np.random.default_rng(0)
    calls: dict[str, int] = {"interval": 0, "mcnemar_of_the_first_seed": 0}
    for _ in range(repeats):
        b = generator.normal(0, 1, PROMPTS) + (generator.normal(0, runs) if seeds == 1 else 0)
        own = 0.0 if seeds == 1 else runs
        ours, theirs = (draw(generator, seeds, 0.0, own, b) > 0 for _ in range(2))
        found = paired_difference(ours.tolist(), theirs.tolist())
        calls["interval"] += found.low > 0 or found.high < 0
        calls["mcnemar_of_the_first_seed"] += mcnemar(ours[0].tolist(), theirs[0].tolist()) < 0.05
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
    """Return least, mean and most coverage by figure, seeds and method."""
    found: list[dict[str, Any]] = []
    for figure, seeds, method in product(("share", "difference"), SEEDS, ("now", "percentile")):
        kept = [r for r in rows if (r["figure"], r["seeds"]) == (figure, seeds)]
        values = [row[f"coverage_{method}"] for row in kept]
        reach: dict[str, Callable[[list[float]], Any]] = {
            "least": min,
            "mean": np.mean,
            "most": max,
        }
        found.append(
            {"figure": figure, "seeds": seeds, "method": method}
            | {name: float(of(values)) for name, of in reach.items()}
        )
    return found


def main() -> None:
    """Simulate, print and write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, help="simulations of each setting")
    parser.add_argument("--out", type=Path, default=Path("results/statistics_check.json"))
    given = parser.parse_args()
    rows = [row for name in ("share", "difference") for row in coverage(name, given.repeats)]
    null = [
        null_calls(seeds, runs, max(500, given.repeats))
        for seeds, runs in product((1, *SEEDS), (0.0, 0.3, 1.0))
    ]
    worst = [
        worst_coverage(shifts, runs, given.repeats // 2)
        for shifts, runs in product(((-1.0,) * 6, (-2.0, -1.0, 0.0)), (0.0, 0.5))
    ]
    result = {
        "nominal": 0.95,
        "prompts": PROMPTS,
        "simulations": given.repeats,
        "wilson_exact": [wilson_coverage(n) for n in (20, 50, 100, 200, 400)],
        "summary": summary(rows),
        "coverage": rows,
        "null_called_significant": null,
        "worst_case": worst,
        "versions": versions(),
        "machine": this_machine().model_dump(),
    }
    text = json.dumps(result, indent=1) + "\n"
    given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
