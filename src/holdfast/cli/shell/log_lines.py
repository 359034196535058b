"""Progress where nobody watches: a line now and then, each written at once.

``nohup``, a batch system and CI keep stderr in a file, in which bars are no use.
"""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from holdfast.cli.shell.durations import passed, spelled

__all__ = ["LogLines", "log_lines"]

PARTS = 10
"""A stage has this many lines, evenly over its work, and one more for each minute without."""
SILENCE = 60.0
"""Longest time without a line, in seconds."""


@dataclass
class _Stage:
    first: int
    since: float
    done: int
    total: int
    said: str = ""
    shown: int = 0
    """The part of the work that was last told."""
    ended: float | None = None
    """When all of it was done."""


@dataclass
class LogLines:
    """Writes lines of progress with ``write``."""

    write: Callable[[str], Any]
    clock: Callable[[], float] = time.monotonic
    _stages: dict[str, _Stage] = field(default_factory=dict[str, _Stage])
    _last: str = ""
    _told: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, stage: str, done: int, total: int, said: str = "", /) -> None:
        """Take a report, and write its line where its turn has come."""
        with self._lock:
            now = self.clock()
            self._told = now if self._told is None else self._told
            first = PARTS * done // max(total, 1)
            found = self._stages.setdefault(stage, _Stage(done, now, done, total, shown=first))
            found.done, found.total, found.said = done, total, said or found.said
            found.ended = now if done >= total else None
            self._last = stage
            part = PARTS * done // max(total, 1)
            if part > found.shown or now - (self._told or 0.0) >= SILENCE:
                found.shown = max(part, found.shown)
                self._line(stage, now)

    def beat(self) -> None:
        """Write where the last stage is, if there was no line for too long."""
        with self._lock:
            now = self.clock()
            if self._last and now - (self._told or 0.0) >= SILENCE:
                self._line(self._last, now)

    def _line(self, stage: str, now: float) -> None:
        found = self._stages[stage]
        self._told = now
        if found.ended is not None and found.ended < now:
            self.write(f"{stage}: done {passed(now - found.ended)} ago, still working")
            return
        made, took = found.done - found.first, now - found.since
        words = [f"{stage}: {found.done} of {found.total}", found.said]
        if made > 0 and took > 0:
            words += [f"{_rate(made / took)} per s", f"{passed(took)} so far"]
            left = (found.total - found.done) * took / made
            words.append(f"about {spelled(left)} left" if left else "")
        self.write(", ".join(word for word in words if word))


@contextmanager
def log_lines() -> Generator[LogLines]:
    """Write lines to stderr while the body runs, one at least every minute."""

    def write(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        sys.stderr.flush()

    lines, over = LogLines(write), threading.Event()

    def beats() -> None:
        while not over.wait(SILENCE / 4):
            lines.beat()

    thread = threading.Thread(target=beats, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()


def _rate(value: float) -> str:
    """Return three figures that count; above 100 whole numbers."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
