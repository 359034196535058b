"""ML-LR and SWAT on benign data against plain fine-tuning and their controls, five seeds.

Writes a holdfast result (``results/benign_defenses.json``) whose ``config.comparisons`` holds, for
each scenario and pair of arms, the paired difference of the harmful score and of the task.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from holdfast.bench.demo import arms_of, run_all
from holdfast.bench.demo_plan import BENIGN, DemoConfig, Task, data_sources, find_modules
from holdfast.evaluation.compare import compare_hits
from holdfast.report.page import write_report
from holdfast.results.records import BEFORE, PLAIN, Arm
from holdfast.results.result import RunResult

METHODS = ("ml_lr", "swat")
CONTROLS = ("(random)", "(complement)")
TRACKS = ("plain", *(m + c for m in METHODS for c in ("", *CONTROLS)))


def comparisons(arms: list[Arm]) -> list[dict[str, Any]]:
    """Return each method minus plain fine-tuning and minus its controls, paired."""
    found: list[dict[str, Any]] = []
    by_name = {(arm.scenario, arm.defense): arm for arm in arms}
    for scenario in dict.fromkeys(arm.scenario for arm in arms):
        for method in METHODS:
            for other in (PLAIN, *(method + control for control in CONTROLS)):
                ours, theirs = by_name[scenario, method], by_name[scenario, other]
                row: dict[str, Any] = {"scenario": scenario, "arm": method, "minus": other}
                for figure in ("hs", "fa", "usefulness"):
                    difference = compare_hits(
                        [run.hits(figure) for run in ours.runs],
                        [run.hits(figure) for run in theirs.runs],
                    )
                    if difference is not None:
                        row[figure] = [difference.value, difference.low, difference.high]
                found.append(row)
    return found


def main() -> None:
    """Run, write the result and its page, print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="runs per arm")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--scenario", choices=BENIGN, help="one of them only")
    parser.add_argument("--split", default="test", help="test, or validation to choose on")
    parser.add_argument("--out", type=Path, default=Path("results/benign_defenses.json"))
    parser.add_argument("--answers", action="store_true", help="keep the raw answers")
    parser.add_argument("--report", type=Path, help="also write the page, with answers")
    given = parser.parse_args()
    config = DemoConfig()
    chosen = [given.scenario] if given.scenario else BENIGN
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    with tempfile.TemporaryDirectory() as folder:
        modules = Path(folder) / "robust_modules.json"
        robust = find_modules(config, modules)
        tasks = [
            Task(track, seed, config, scenario, modules, given.split)
            for scenario in chosen
            for seed in seeds
            for track in TRACKS
        ]
        tasks += [Task(BEFORE, 0, config, s, split=given.split) for s in chosen]
        found, _ = run_all(
            tasks, lambda _, done, total: print(done, total, flush=True), check=False
        )
    arms = arms_of(found)
    rows = comparisons(arms)
    result = RunResult.of(
        "bench",
        arms,
        model="organism",
        real_model=False,
        config={
            "split": given.split,
            "robust_modules": [str(m) for m in robust.modules],
            "comparisons": rows,
        },
        data=data_sources(tasks),
    )
    (result if given.answers else result.without_answers()).save(given.out)
    if given.report:
        write_report(result, given.report)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
