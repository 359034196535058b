"""Programs that come with data (templates, patterns) get a time and no more."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["MOST_SECONDS", "TooLongError", "time_limit"]

MOST_SECONDS = 2.0
"""Processor time that one template or pattern may take; a usual one takes milliseconds."""


class TooLongError(Exception):
    """The time was over."""


@contextmanager
def time_limit() -> Generator[None]:
    """Raise ``TooLongError`` in the body once it has computed for ``MOST_SECONDS``.

    The processor's time counts and not the clock's, which a busy machine stretches. A signal tells
    that it is over, also in the midst of a regular expression; signals reach the main thread
    alone, so a body in another thread has no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: Any) -> None:
        raise TooLongError(f"takes more than {MOST_SECONDS:g} s")

    before = signal.signal(signal.SIGVTALRM, over)
    outer, _ = signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, outer)
        signal.signal(signal.SIGVTALRM, before)
