"""Kill a bench with -9 at random moments, start it again each time, and compare the tables.

A bench that nobody disturbs gives the reference. The other is killed, with its workers or without
(which then have to end by themselves), and its final table must be the same byte for byte.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from holdfast.results.provenance import this_machine, versions

TABLES = ("table.csv", "table.json")


def start(recipe: str, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start the bench in a process group of its own."""
    code = "import sys; from holdfast.cli.main import main; sys.exit(main())"
    argv = ["bench", recipe, "--out", str(out), "--workers", str(workers)]
    return subprocess.Popen(  # noqa: S603  # Our own command line.
        [sys.executable, "-c", code, *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes], out: Path, mark: int, wait: float, group: bool) -> bool:
    """Send SIGKILL ``wait`` seconds after ``mark`` cells are done; False if the bench was faster.

    To the whole group if asked, else to the bench alone, whose workers then end by themselves.
    """
    while done(out) < mark and process.poll() is None:
        time.sleep(0.02)
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def done(out: Path) -> int:
    """Return how many cells have a result."""
    return len(list(out.glob("cells/*/result.json")))


def check(recipe: str, work: Path, workers: int, kills: int, seed: int) -> dict[str, Any]:
    """Return what happened; the last entry says whether the tables are the same.

    The kills are spread over the run: each waits for a random number of cells, then for a random
    part of the time that one cell takes.
    """
    began = time.perf_counter()
    if start(recipe, work / "reference", workers).wait() != 0:
        raise SystemExit("the undisturbed bench failed")
    seconds, cells = time.perf_counter() - began, done(work / "reference")
    moments, out = random.Random(seed), work / "killed"  # noqa: S311  # No secret.
    report: list[dict[str, Any]] = []
    while len(report) < kills:
        report.clear()
        shutil.rmtree(out, ignore_errors=True)  # It was done before a kill: begin again.
        for mark in sorted(moments.sample(range(cells), kills)):
            process = start(recipe, out, workers)
            wait, group = moments.uniform(0, seconds * workers / cells), len(report) % 2 == 0
            if not kill(process, out, mark, wait, group):
                if process.returncode != 0:
                    raise SystemExit(f"the bench ended by itself with {process.returncode}")
                break
            killed = "the bench and its workers" if group else "the bench"
            report.append(
                {"waited_for_cells": mark, "then_seconds": wait, "killed": killed,
                 "cells_done": done(out)}
            )  # fmt: skip
    left = start(recipe, out, workers).wait()
    same = {name: _same(name, work) for name in TABLES}
    return {
        "recipe": recipe, "workers": workers, "seconds_undisturbed": seconds,
        "cells": cells, "kills": report, "last_exit_code": left,
        "same_bytes": same,
    }  # fmt: skip


def _same(name: str, work: Path) -> bool:
    return (work / "reference" / name).read_bytes() == (work / "killed" / name).read_bytes()


def main() -> None:
    """Run the check, write what was found, and fail where the tables differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/kill_check.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = check(given.recipe, Path(work), given.workers, given.kills, given.seed)
    machine = this_machine().model_dump()
    found |= {"seed": given.seed, "versions": versions(), "machine": machine}
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found["kills"], indent=1) + f"\nsame: {found['same_bytes']}\n")
    if not all(found["same_bytes"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
