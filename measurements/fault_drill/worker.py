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
"""Seconds that a case may take."""
MEMORY = 6 * 2**30
"""Bytes of data that a worker may have: an input that asks for more must not take the machine."""
_FORK = multiprocessing.get_context("fork")

Said = dict[str, Any]


def watched(
    cases: Sequence[int],
    run: Callable[[int], Said],
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
            try:
                said = ours.recv() if ours.poll(longest(left[0])) else {"outcome": "hang"}
            except EOFError:
                said = {"outcome": "crash"}
            yield left.pop(0), {**said, "seconds": round(time.monotonic() - began, 2)}
            if said["outcome"] in ("hang", "crash"):
                break
        worker.kill()
        worker.join()
        ours.close()


def _work(cases: Sequence[int], run: Callable[[int], Said], to: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in cases:
        to.send(run(case))
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
