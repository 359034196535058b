"""Ctrl-C, SIGTERM and SIGHUP end a command alike: it keeps what it can and says what is kept.

A second Ctrl-C while that is kept would lose it, so it waits; the third ends the command at once.
"""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["code_of", "stoppable"]

STOPPING = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
PATIENCE = 3
"""The signal that ends a command which is still ending."""
_got: list[int] = []
"""Signals since the command began."""


@contextmanager
def stoppable() -> Generator[None]:
    """Turn the signals into ``KeyboardInterrupt`` with the signal's name, in the main thread.

    What the shell has set to be ignored (``nohup`` does so with SIGHUP) stays ignored.
    """
    _got.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {one: signal.getsignal(one) for one in STOPPING}
    taken = {one: handler for one, handler in before.items() if handler in usual}
    owner = os.getpid()

    def stop(number: int, _: Any) -> None:
        if os.getpid() != owner:  # A forked child ends as if nothing had been taken.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        _got.append(number)
        if len(_got) == 1:
            raise KeyboardInterrupt(f"stopped by {STOPPING[signal.Signals(number)]}")
        if len(_got) >= PATIENCE:
            os._exit(128 + number)

    for one in taken:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one, handler in taken.items():
            signal.signal(one, handler)


def code_of() -> int:
    """Return the exit code of a command that was stopped: 128 and the number of the signal."""
    return 128 + (_got[0] if _got else signal.SIGINT)
