"""Tasks of the study, one after another or by workers that each keep a model and a scorer.

They stand apart from ``__main__``: a process that is started anew cannot find what lies there.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from measurements.data_risk.real_model.row_test import arms, sets_of_test, tuned_without
from measurements.data_risk.real_model.scores import scores_of
from measurements.data_risk.real_model.sets import REAL_SETS, rows_of
from measurements.data_risk.real_model.work import Work
from measurements.data_risk.row_test import SEEDS
from measurements.data_risk.sets import RiskSet

__all__ = ["Task", "pools", "row_tests", "run"]

Task = tuple[str, RiskSet, int, str]
"""What to do, on which set, at which seed, and on which arm of the row test or whose rows."""


def pools(work: Work, sets: Sequence[RiskSet]) -> list[Task]:
    """Return a task for each party that has rows in a set: two workers would score it twice."""
    found = {party: one for one in sets for party in rows_of(one, 0, work.own)["party"]}
    return [("pool", one, 0, party) for party, one in found.items()]


def row_tests(work: Work, workers: int) -> None:
    """Score the two sets of the row test at its seeds, then tune on what each arm leaves."""
    harm = {one.name: work.tuned(one, 0)["hs"] for one in REAL_SETS}
    every = [(one, seed) for one in sets_of_test(harm) for seed in SEEDS]
    run(work, [("score", one, seed, "") for one, seed in every], workers)
    run(work, [
        ("rows", one, seed, arm) for one, seed in every
        for arm in arms(one, scores_of(work).scored(one, seed)["columns"], seed)
    ], workers)  # fmt: skip


def run(work: Work, tasks: Sequence[Task], workers: int) -> None:
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
    scores, name = scores_of(given), f"{one.name} seed {seed}"
    work = scores.work  # This process's one copy, which keeps what it has made.
    if what == "pool":
        scores.pool(arm)
        return f"rows of {arm} scored"
    if what == "score":
        scores.scored(one, seed)
        return f"{name} scored"
    got: Any = work.tuned(one, seed) if what == "tune" else tuned_without(work, one, seed, arm)
    return f"{name} {arm or 'tuned'}: HS {got['hs']:.2f}"
