"""Count what the published fit, alarm and stops do on runs that none of them was made of.

``python -m measurements.drift.held_out_counts OUT RESULTS`` reads OUT/held_out.jsonl and
RESULTS/organism.json, and writes RESULTS/held_out.json: the counts, and every run's curve.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from holdfast.evaluation.drift.calibration import Calibration
from holdfast.evaluation.drift.cusum import cusum, paced
from holdfast.evaluation.drift.fit import MOVES, Fit, spearman
from holdfast.evaluation.drift.left_out import LeftOut
from holdfast.evaluation.drift.stops import alarm_at, least_limit
from holdfast.evaluation.limits.exact import lower_bound, upper_bound
from holdfast.results.provenance import this_machine, versions
from measurements.drift.analyze import LIMITS, PATIENCE, SAFE

FIRST_PLAN = 108
"""Runs that were planned before any was run; the last 12 were added after 31 of them."""
WRITTEN = 44
"""Runs that had been run when the rule was given its present form, from the calibration alone."""
KEPT = ("name", "scenario", "p", "learning_rate", "seed", "full", "steps")


@dataclass(frozen=True)
class Run:
    """One held-out run against the published fit."""

    row: dict[str, Any]
    fit: Fit

    @property
    def highest(self) -> float:
        """Largest measured score."""
        return max(self.row["hs"])

    @property
    def kind(self) -> str:
        """Its name without the seed."""
        return self.row["name"].rsplit("-s", 1)[0]

    @property
    def leads(self) -> list[float]:
        """Leads at the looks that have a score: those of the calibration."""
        looked = dict(zip(self.row["looked"], self.row["leads"], strict=True))
        return [looked[step] for step in self.row["scored"]]

    def bounds(self) -> LeftOut:
        """Return what the fit bounds it by; it was left out of the fit."""
        bounds = tuple(self.fit.bound(lead) for lead in self.leads)
        return LeftOut(self.highest, bounds, self.fallen())

    def stops(self, limit: float) -> bool:
        """Return whether the predicted score with its margin stops it."""
        return self.bounds().peak(PATIENCE) > limit

    def fallen(self, *, often: bool = False, pace: bool = True) -> float:
        """Return its largest sum, at the calibration's looks or at all it has."""
        steps = self.row["looked"] if often else [0, *self.row["scored"]]
        looked = dict(zip(self.row["looked"], self.row["leads"], strict=True))
        weights = paced(steps, self.row["steps"], self.fit.looks if pace else 0)
        leads = [looked[step] for step in steps[1:]]
        return max(cusum(leads, self.fit.start, self.fit.noise, self.fit.drift, weights))


def share(found: Iterable[bool]) -> dict[str, Any]:
    """Return how many of how many, with Clopper and Pearson's two-sided 95 % interval."""
    every = list(found)
    k, n = sum(every), len(every)
    ends = (lower_bound(k, n, 0.975), upper_bound(k, n, 0.975))
    return {
        "count": k, "runs": n, "share": round(k / n, 4) if n else None,
        "interval": [round(end, 4) for end in ends],
        "upper_95_one_sided": round(upper_bound(k, n), 4),
    }  # fmt: skip


def alarms(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the fit's own alarm does, made for a score of .1: false alarms and hits."""
    h = runs[0].fit.alarm
    return {
        "false_alarms": share(run.fallen() > h for run in runs if run.highest <= SAFE),
        "hits": share(run.fallen() > h for run in runs if run.highest > SAFE),
    }


def counted(runs: Sequence[Run]) -> dict[str, Any]:
    """Return false alarms and hits, what the margin covers, correlations, and stops by limit."""
    fit = runs[0].fit
    safe = sorted((run for run in runs if run.highest <= SAFE), key=lambda run: run.kind)
    by_kind = groupby(safe, key=lambda run: run.kind)
    moving = [r for r in runs if max(r.row["hs"]) - min(r.row["hs"]) >= MOVES]
    within = [spearman(run.leads, run.row["hs"]) for run in moving]
    return {
        **alarms(runs),
        "false_alarms_by_kind": {
            kind: share(run.fallen() > fit.alarm for run in some) for kind, some in by_kind
        },
        "first_plan": alarms(runs[:FIRST_PLAN]),
        "under_prediction_and_margin": share(_under(run) for run in runs),
        "spearman": {
            "within": round(sum(within) / len(within), 4) if within else None,
            "moving": len(moving), "between": _between(runs),
            "between_in_the_proportions_of_the_fit": _between(runs[: fit.runs]),
        },
        "stops": stops(runs),
        "stops_of_runs_after_the_rule_was_written": stops(runs[WRITTEN:]),
    }  # fmt: skip


def stops(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a safety stop does at each limit, those that are refused among them."""
    least = {least_limit(one.fit, 0.0, PATIENCE) or LIMITS[-1] for one in runs[:1]}
    return {f"{limit:g}": _stops(runs, limit) for limit in sorted({*LIMITS[1:], *least})}


def _between(runs: Sequence[Run]) -> float:
    """Return Spearman's correlation over last looks.

    The plan begins with as many runs as the fit has, of its kinds; the rest are mostly safe, and
    their scores differ by single answers.
    """
    last = [(run.leads[-1], run.row["hs"][-1]) for run in runs]
    return round(spearman(*zip(*last, strict=True)), 4)


def _under(run: Run) -> bool:
    bounds = run.bounds().bounds
    return all(score <= bound for score, bound in zip(run.row["hs"], bounds, strict=True))


def _stops(runs: Sequence[Run], limit: float) -> dict[str, Any]:
    """Return the stops of runs whose score never passes a limit, and of those whose score does."""

    def of(safe: bool, rule: Callable[[Run], bool]) -> dict[str, Any]:
        return share(rule(run) for run in runs if (run.highest <= limit) is safe)

    h = alarm_at(runs[0].fit, limit) if runs else math.inf
    rules: dict[str, Callable[[Run], bool]] = {
        "score": lambda run: run.stops(limit),
        "alarm": lambda run: run.fallen() > h,
        "either": lambda run: run.stops(limit) or run.fallen() > h,
        "alarm_looking_three_times_as_often": lambda run: run.fallen(often=True) > h,
        "the_same_where_each_look_counts_1": lambda run: run.fallen(often=True, pace=False) > h,
    }
    return {
        "safe": {name: of(True, rule) for name, rule in rules.items()},
        "unsafe": {name: of(False, rule) for name, rule in rules.items()},
    }


def rows_of(file: Path) -> list[dict[str, Any]]:
    """Return what was run, without what nobody reads."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        {**{key: row[key] for key in KEPT}, "looked": row["steps_looked"], "leads": row["leads"],
         "scored": row["hs_steps"], "hs": row["hs"]}
        for row in found
    ]  # fmt: skip


def main(folder: Path, results: Path) -> None:
    """Count and write; one line a run."""
    fit, rows = Calibration.load(results / "organism.json").fit, rows_of(folder / "held_out.jsonl")
    told = counted([Run(row, fit) for row in rows])
    where = {"machine": this_machine().model_dump(), "versions": versions()}
    head = json.dumps({**told, **where}, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    (results / "held_out.json").write_text(f'{head},\n "runs": [\n{lines}\n ]\n}}\n')
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
