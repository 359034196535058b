"""Tune, score and test the rows of a chat model's data sets; write results/data_risk/real.json.

``measurements.real`` writes the folder that this reads: rows of every party, and the model aligned
further where it refuses too little by itself. What has run is kept in OUT and not run again, so a
study that was stopped goes on by the same command; ``--part`` runs one part of it alone.

Usage: ``python -m measurements.data_risk.real_model --real real-out --data ../shared/data --out
OUT``. A tune of SmolLM2-135M takes some seven CPU minutes, a scoring as much; on a GPU some twenty
seconds each, many workers at a time.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from measurements.data_risk.real_model.publish import publish
from measurements.data_risk.real_model.row_test import arms, tested, tuned_without
from measurements.data_risk.real_model.sets import PLANTED, REAL_SETS
from measurements.data_risk.real_model.work import Work
from measurements.data_risk.row_test import SEEDS
from measurements.data_risk.sets import RiskSet

PARTS = ("tune", "score", "rows", "publish")
Task = tuple[str, RiskSet, int, str]
"""What to do, on which set, at which seed, and of the row test the arm."""


def main() -> None:
    """Run the parts that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--real", type=Path, default=Path("real-out"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, help="a model's folder; REAL/aligned without it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--sets", type=int, help="only the first so many sets: a rehearsal")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--part", choices=("prepare", *PARTS), action="append")
    given = parser.parse_args()
    work = Work(given.real, given.data, given.model or given.real / "aligned", given.out)
    sets, parts = REAL_SETS[: given.sets], given.part or ["prepare", *PARTS]
    if "prepare" in parts:
        work.prepare()
        print(f"before: HS {work.before()['hs']:.2f}", flush=True)
    wanted = [(one, seed) for seed in given.seeds for one in sets]
    tasks: list[Task] = []
    if "tune" in parts:
        tasks += [("tune", one, seed, "") for one, seed in wanted]
    if "score" in parts:
        planted = [(one, seed) for seed in given.seeds for one in PLANTED[: given.sets]]
        tasks += [("score", one, seed, "") for one, seed in [*wanted, *planted]]
    _run(work, tasks, given.workers)
    if "rows" in parts:
        _rows(work, given.workers)
    if "publish" in parts:
        publish(work, sets, given.seeds)


def _rows(work: Work, workers: int) -> None:
    """Score the two sets of the row test at its seeds, then tune on what each arm leaves."""
    harm = {one.name: work.tuned(one, 0)["hs"] for one in REAL_SETS}
    every = [(one, seed) for one in tested(harm) for seed in SEEDS]
    _run(work, [("score", one, seed, "") for one, seed in every], workers)
    _run(work, [
        ("rows", one, seed, arm) for one, seed in every
        for arm in arms(one, work.scored(one, seed)["columns"], seed)
    ], workers)  # fmt: skip


def _run(work: Work, tasks: Sequence[Task], workers: int) -> None:
    """Do the tasks, each by the next free worker; a worker keeps its model and its scorer."""
    if workers == 1:
        for number, task in enumerate(tasks, start=1):
            print(f"{number} of {len(tasks)}: {_done(work, task)}", flush=True)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_done, replace(work), task) for task in tasks]
        for number, future in enumerate(as_completed(running), start=1):
            print(f"{number} of {len(tasks)}: {future.result()}", flush=True)


def _done(given: Work, task: Task) -> str:
    what, one, seed, arm = task
    work, name = _own(given), f"{one.name} seed {seed}"
    if what == "score":
        work.scored(one, seed)
        return f"{name} scored"
    got: Any = work.tuned(one, seed) if what == "tune" else tuned_without(work, one, seed, arm)
    return f"{name} {arm or 'tuned'}: HS {got['hs']:.2f} FA {got['fa']:.2f}"


@cache
def _own(work: Work) -> Work:
    """Return this process's one copy, which keeps what it has made."""
    return work


if __name__ == "__main__":
    main()
