"""How long SWAT's warm-up and how large its subset should be, on validation items and seeds.

The curve behind the defaults ``SWAT.warmup`` and ``AnalysisSettings.tau``; no test item is read.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from holdfast.bench.demo import run_all
from holdfast.bench.demo_plan import DemoConfig, Task, find_modules
from holdfast.results.provenance import this_machine, versions

TAUS = (0.1, 0.2, 0.3)
WARMUPS = (0.25, 0.5, 0.75, 0.9)
FIGURES = ("hs", "fa", "usefulness")
SCENARIO = "benign_obedience"


def _task(track: str, seed: int, config: DemoConfig, modules: Path | None = None) -> Task:
    return Task(track, seed, config, SCENARIO, modules, "validation")


def main() -> None:
    """Run the grid and write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting")
    parser.add_argument("--first-seed", type=int, default=100, help="no seed of a published test")
    parser.add_argument("--out", type=Path, default=Path("results/swat_study.json"))
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    config = DemoConfig(items_per_kind=60)
    tasks = [_task("plain", seed, config) for seed in seeds]
    subsets: dict[float, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for tau in TAUS:
            modules, at = Path(folder) / f"{tau}.json", replace(config, tau=tau)
            subsets[tau] = [str(m) for m in find_modules(at, modules).modules]
            tasks += [_task("ml_lr", seed, at, modules) for seed in seeds]
            for warmup in WARMUPS:
                tasks += [_task("swat", s, replace(at, warmup=warmup), modules) for s in seeds]
        found, _ = run_all(
            tasks, lambda _, done, total: print(done, total, flush=True), check=False
        )
    rows: dict[tuple[Any, ...], list[Any]] = {}
    for task in sorted(found, key=lambda task: task.seed):
        name, settings = task.track, task.config
        key = (
            name,
            None if name == "plain" else settings.tau,
            settings.warmup if name == "swat" else None,
        )
        rows.setdefault(key, []).append(found[task][0][2])
    table = [
        {
            "track": track,
            "tau": tau,
            "warmup": warmup,
            "modules": len(subsets[tau]) if tau in subsets else None,
            **{f: fmean(run.shares[f].value for run in runs) for f in FIGURES},
            "hs_by_seed": [run.shares["hs"].value for run in runs],
        }
        for (track, tau, warmup), runs in rows.items()
    ]
    document = {
        "benchmark": "swat_study",
        "scenario": SCENARIO,
        "split": "validation",
        "seeds": list(seeds),
        "subsets": {str(tau): names for tau, names in subsets.items()},
        "rows": table,
        "machine": this_machine().model_dump(),
        "versions": versions(),
    }
    given.out.write_text(json.dumps(document, indent=1) + "\n")
    for row in table:
        print(row)


if __name__ == "__main__":
    main()
