"""SIGKILL at random moments of a run, and at every point of the final swap: what is lost.

After each kill the same command is given again, with ``--resume`` where there is something to go on
from. It has to end with the weights, bit for bit, of a run that nobody disturbed, and where the
output is replaced the old model must be whole until the new one is.
"""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from holdfast.files.outputs.swap import Swap
from measurements.fault_drill.runs import (
    LOG,
    RUNS,
    ended,
    forked,
    has_checkpoint,
    model_in,
    stopped,
)
from measurements.fault_drill.workplace import fresh
from tests.killed import arm

__all__ = ["WRONG", "kill_case", "references", "swap_case"]

SEED = 12
WRONG = ("lost", "other weights", "stuck", "fault", "hang", "leftover")
_OLD = "old model"


def references(base: Path, work: Path) -> dict[str, Any]:
    """Return the hash of each run's undisturbed model and the seconds that it took."""
    file = work / "references.json"
    if file.exists():
        return json.loads(file.read_text())
    found: dict[str, Any] = {}
    for name, argv in RUNS.items():
        fresh(base, work / "reference")
        os.chdir(work / "reference")
        began = time.monotonic()
        assert ended(forked(argv)) == 0, Path(LOG).read_text()
        found[name] = [model_in(Path("out")), time.monotonic() - began]
    file.write_text(json.dumps(found))
    return found


def kill_case(number: int, base: Path, work: Path) -> dict[str, Any]:
    """Kill a run at a random moment."""
    rng = random.Random(f"{SEED}-{number}")  # noqa: S311
    name, overwrite = rng.choice(list(RUNS)), bool(number % 2)
    right, seconds = references(base, work)[name]
    folder = work / "killed"
    fresh(base, folder)
    os.chdir(folder)
    argv = [*RUNS[name], *_with_old(folder, overwrite)]
    wait = rng.uniform(0.02, 1.05) * seconds
    while (first := _killed_after(argv, wait)) == 0:  # It was faster than the reference.
        wait *= 0.8
        fresh(base, folder)
        os.chdir(folder)
        _with_old(folder, overwrite)
    said = {"kind": f"{name}{' over' * overwrite}", "wait": round(wait, 2), "first": first}
    return {**said, **_after(folder, argv, right, overwrite)}


def swap_case(number: int, base: Path, work: Path) -> dict[str, Any] | None:
    """Kill a run at change ``number // 2`` of its final swap; None where it made fewer.

    Odd numbers replace an older model.
    """
    point, overwrite = divmod(number, 2)
    right, _ = references(base, work)["vector"]
    folder, argv = work / "swapped", list(RUNS["vector"])
    ready = work / "before_the_swap"
    if not ready.exists():
        stopped(base, work / "draft", argv, 12)
        (work / "draft").rename(ready)
    fresh(ready, folder)
    os.chdir(folder)
    argv += _with_old(folder, bool(overwrite))

    def kill_in_the_swap() -> None:
        begin = Swap.begin

        def armed(self: Swap, *moves: Any, **about: Any) -> None:
            arm(point)
            begin(self, *moves, **about)

        Swap.begin = armed  # type: ignore[method-assign]

    # Without --overwrite the stopped run goes on; with it, that run is given up and begun anew.
    first = ended(forked(argv if overwrite else [*argv, "--resume"], kill_in_the_swap))
    if first == 0:
        return None
    said = {"kind": f"swap{' over' * overwrite}", "point": point, "first": first}
    return {**said, **_after(folder, argv, right, bool(overwrite))}


def _killed_after(argv: list[str], wait: float) -> int | str:
    child = forked(argv)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    return ended(child)


def _with_old(folder: Path, overwrite: bool) -> list[str]:
    if not overwrite:
        return []
    shutil.copytree(folder / "other", folder / "out")
    return ["--overwrite"]


def _after(folder: Path, argv: list[str], right: str, overwrite: bool) -> dict[str, Any]:
    """Return what was left after the kill, and what the next run made of it."""
    old = model_in(folder / "other")
    places = [folder / name for name in ("out", ".out.partial", ".out.old")]
    whole = {model_in(place) for place in places} & {old, right}
    if overwrite and not whole:
        return {"outcome": "lost"}
    if model_in(folder / "out") == right and not (folder / ".out.swap").exists():
        return {"outcome": "same", "second": "finished before"}
    more = ["--resume"] if has_checkpoint(folder) else []
    second = ended(forked([*argv, *more]))
    log = (folder / LOG).read_text(errors="replace")
    said = {"second": second, "resumed": bool(more), "said": ascii(log[-300:])}
    if second == "hang" or "fault of holdfast" in log:
        return {**said, "outcome": "hang" if second == "hang" else "fault"}
    if second != 0:
        return {**said, "outcome": "stuck"}
    left = sorted(p.name for p in folder.iterdir() if p.name.startswith(".out"))
    if model_in(folder / "out") != right:
        return {**said, "outcome": "other weights"}
    return {**said, "outcome": "leftover" if left else "same", "left": left}
