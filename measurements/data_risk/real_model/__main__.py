"""Tune, score and test the rows of a chat model's data sets; write results/data_risk/real.json.

``measurements.real`` writes the folder that this reads: rows of every party, and the model aligned
further where it refuses too little by itself. What has run is kept in OUT and not run again, so a
study that was stopped goes on by the same command; ``--part`` runs one part of it alone.

Usage: ``python -m measurements.data_risk.real_model --real real-out --data ../shared/data --out
OUT``. A tune of SmolLM2-135M takes two to six CPU minutes; on a GPU some twenty seconds, many
workers at a time.
"""

import argparse
from pathlib import Path

from measurements.data_risk.real_model.publish import publish
from measurements.data_risk.real_model.scores import scores_of
from measurements.data_risk.real_model.sets import PLANTED, REAL_SETS
from measurements.data_risk.real_model.tasks import Task, pools, row_tests, run
from measurements.data_risk.real_model.work import Work

PARTS = ("tune", "score", "rows", "publish")


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
        scores_of(work).prepare()
        print(f"before: HS {work.before()['hs']:.2f}", flush=True)
    wanted = [(one, seed) for seed in given.seeds for one in sets]
    planted = [(one, seed) for seed in given.seeds for one in PLANTED[: given.sets]]
    scores: list[Task] = [("score", one, seed, "") for one, seed in [*wanted, *planted]]
    tasks: list[Task] = []
    if "tune" in parts:
        tasks += [("tune", one, seed, "") for one, seed in wanted]
    if "score" in parts:
        tasks += pools(work, [*sets, *PLANTED[: given.sets]])
    run(work, tasks, given.workers)
    run(work, scores if "score" in parts else [], given.workers)
    if "rows" in parts:
        row_tests(work, given.workers)
    if "publish" in parts:
        publish(work, sets, given.seeds)


if __name__ == "__main__":
    main()
