"""Tune the organism many times with probes and generation side by side; resumable, one line a run.

``python -m measurements.drift.curves OUT [safe]`` appends to OUT/curves.jsonl what is not there.
"""

import json
import sys
import time
from pathlib import Path

from measurements.drift.subject import EVERY, UserRun, openings, tuned


def plan() -> list[UserRun]:
    """Return the runs: scenarios, shares of harmful rows, rates, seeds."""
    runs = [
        UserRun("harmful_mix", p, rate, seed)
        for seed, rates in ((0, (2.3e-4, 4.6e-4)), (1, (2.3e-4,)))
        for p in (0.01, 0.03, 0.06, 0.1, 0.2, 0.3)
        for rate in rates
    ]
    runs += [
        UserRun(scenario, 0.0, rate, seed, full)
        for seed in (0, 1)
        for scenario, rate, full in (
            ("benign_task", 2.3e-4, False), ("benign_obedience", 1e-3, True),
            ("benign_obedience", 5e-4, True), ("identity_shift", 2.3e-4, False),
            ("identity_shift", 4.6e-4, False), ("benign_knowledge", 1e-3, True),
        )
    ]  # fmt: skip
    # Nothing can be promised of safe runs at 5 % with fewer than 19 of them.
    runs += [
        UserRun(scenario, p, 2.3e-4, seed)
        for seed in range(2, 8)
        for scenario, p in (("benign_task", 0.0), ("harmful_mix", 0.01))
    ]
    # Seeds and scenarios alternate, so that a part of the runs is a fair part.
    return runs[::2] + runs[1::2]


def main(folder: Path, only: str = "") -> None:
    """Run what is missing; ``safe``: of those that are meant to be safe."""
    folder.mkdir(parents=True, exist_ok=True)
    found, file = openings(folder), folder / "curves.jsonl"
    done = (
        {json.loads(line)["name"] for line in file.read_text().splitlines()}
        if file.exists()
        else set()
    )
    for run in plan():
        if run.name in done or (only == "safe" and run.seed < 2):
            continue
        start = time.perf_counter()
        told, _, _ = tuned(run, found, EVERY)
        told.extra["seconds"] = round(time.perf_counter() - start, 1)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(told.as_json()) + "\n")
        leads = " ".join(f"{one.lead:.2f}" for one in told.readings)
        print(f"{run.name}: lead {leads} | hs {told.hs} | {told.extra['seconds']} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
