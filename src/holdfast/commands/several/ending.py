"""How one process that ends, ends them all: with one message, and with what is kept.

A process that fails leaves its reason for the others and goes. Its partners notice at their next
common operation, whose connection is closed, or are stopped by the launcher; the first process then
tells the reason. Where it is the first one that died, who finds its lock free tells instead.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from holdfast.commands.several.partners import hung, is_timeout
from holdfast.commands.several.ranks import TELLER, Ranks
from holdfast.errors import ConfigError, RunError
from holdfast.files.outputs.locks import locked
from holdfast.files.outputs.processes import hush

__all__ = ["ending_together", "ends_with_its_launcher"]

_LOST = (
    "connection closed", "connection reset", "connection refused", "broken pipe", "gloo", "nccl",
    "socket timeout", "timed out waiting", "timeout caused",
)  # fmt: skip
"""What collective operations say of a partner that is gone."""
_MOMENT = 3.0
"""Seconds in which the words of a process that is gone are looked for."""
_BY_LAUNCHER = " (a launcher sends it where another process has died, and tells which)"
_DIED = "another process of this run died without a word (killed, or its machine was lost)"


@contextmanager
def ending_together(ranks: Ranks, lock: Path, kept: Callable[[], str]) -> Generator[None]:
    """Run the body of a run; where a process fails, each raises the reason and one tells it.

    Args:
        ranks: The processes.
        lock: The lock that the first process holds on the output.
        kept: Says what the run leaves; the first process says so by itself.
    """
    if ranks.count == 1:
        yield
        return
    try:
        yield
    except BaseException as error:
        ranks.leave_sign()
        reason = _reason(ranks, error)
        teller = int(getattr(reason, TELLER, 0))
        ranks.leave_words(reason, teller)
        if teller:  # The first process hangs, and holds the lock.
            reason.add_note(kept())
            reason = hush(reason, teller)
        elif not ranks.first:
            reason = _told_for_the_first(ranks, reason, lock, kept)
        if reason is error:
            raise
        raise reason from error


def _reason(ranks: Ranks, error: BaseException) -> BaseException:
    """Return why this process ends: the reason of the one that went first, if it is known."""
    if isinstance(error, KeyboardInterrupt):
        return ranks.words() or KeyboardInterrupt(f"{error}{_BY_LAUNCHER}")
    if not _is_lost(error):
        return error
    try:
        words = ranks.words(_MOMENT)
    except KeyboardInterrupt:  # The launcher has seen it too.
        words = ranks.words()
    if words is None and is_timeout(error) and (silent := ranks.silent()):
        words = hung(silent)
        setattr(words, TELLER, min({*range(ranks.count)} - silent))
    return words or RunError(_DIED)


def _is_lost(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _LOST)


def _told_for_the_first(
    ranks: Ranks, error: BaseException, lock: Path, kept: Callable[[], str]
) -> BaseException:
    """Let the first process tell; where it is dead, return what it would have said."""
    if ranks.first_has_ended():
        return hush(error)
    try:
        with locked(lock, str(lock)):
            if isinstance(error, KeyboardInterrupt):
                return KeyboardInterrupt(f"{error}: {kept()}")
            error.add_note(kept())
            return error
    except ConfigError:
        return hush(error)


@contextmanager
def ends_with_its_launcher(count: int) -> Generator[None]:
    """Stop this process, as SIGTERM does, where the launcher of several is killed.

    Without it they would go on as orphans, and nobody could resume what they still work on.
    """
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    if count > 1:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
