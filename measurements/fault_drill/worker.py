"""Cases in a forked process that is watched: a hang or a crash is an outcome like any other."""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["Said", "call", "watched"]

LONGEST = 20.0
"""Seconds of CPU that a case may take, and three times as many of the clock."""
MEMORY = 6 * 2**30
"""Bytes of data that a worker may have: an input that asks for more must not take the machine."""
_FORK = multiprocessing.get_context("fork")

Said = dict[str, Any]
Run = Callable[[int, Callable[[Said], None]], Said]
"""Runs a case; calls its second argument with what it has begun."""


def watched(
    cases: Sequence[int],
    run: Run,
    longest: Callable[[int], float] = lambda _: LONGEST,
) -> Iterator[tuple[int, Said]]:
    """Yield what each case said, in order; one that hangs or dies says ``hang`` or ``crash``."""
    left = list(cases)
    while left:
        ours, theirs = _FORK.Pipe(duplex=False)
        worker = _FORK.Process(target=_work, args=(left, run, theirs), daemon=True)
        worker.start()
        theirs.close()
        while left:
            began = time.monotonic()
            said = _answer(ours, worker.pid, longest(left[0]))
            yield left.pop(0), {**said, "seconds": round(time.monotonic() - began, 2)}
            if said["outcome"] in ("hang", "crash"):
                break
        worker.kill()
        worker.join()
        ours.close()


def _answer(ours: Connection, worker: int | None, longest: float) -> Said:
    """Return what the case said, or what it had begun where it hangs or has died."""
    begun: Said = {}
    until, busy = time.monotonic() + 3 * longest, _busy(worker) + longest
    while time.monotonic() < until and _busy(worker) < busy:
        try:
            said = ours.recv() if ours.poll(0.5) else {"begun": begun}
        except EOFError:
            return {**begun, "outcome": "crash"}
        if "outcome" in said:
            return said
        begun = said["begun"]
    return {**begun, "outcome": "hang"}


def _busy(process: int | None) -> float:
    """Return the seconds of CPU of a process: on a loaded machine the clock alone is unfair."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _work(cases: Sequence[int], run: Run, to: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in cases:
        to.send(run(case, lambda begun: to.send({"begun": begun})))
    to.close()
    os._exit(0)


def call(main: Callable[[Sequence[str]], int], argv: Sequence[str], log: Path) -> tuple[Any, str]:
    """Return what ``main`` gave, and what it wrote to stderr; what it raised stands in for both."""
    keep = os.dup(1), os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            code: Any = main(argv)
        except BaseException as error:  # noqa: BLE001  # Nothing may leave the entry point.
            code = f"{type(error).__name__}: {error}"
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in enumerate(keep, start=1):
                os.dup2(old, number)
                os.close(old)
    return code, log.read_text(encoding="utf-8", errors="replace")
