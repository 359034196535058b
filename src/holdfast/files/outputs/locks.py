"""One run at a time in one output: a lock on a file beside it, which ends with its process.

The lock is the kernel's (``flock``), so a killed run leaves none. The file is removed at the end;
who opened it before that looks again, for its lock would be on a file that has no name.
"""

import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.errors import ConfigError

__all__ = ["InUseError", "locked", "refuse_in_use"]

_SIGNED = b"holdfast lock\n"
_WAY_OUT = "wait for it or choose another folder"


class InUseError(ConfigError):
    """Another run holds the lock: it may be free in a moment."""


@contextmanager
def locked(file: Path, shown: str) -> Generator[None]:
    """Hold the lock ``file`` for the body; ``shown`` is what an error says is locked.

    Raises:
        InUseError: Another run holds it.
        ConfigError: It is somebody else's file, or none can be made there.
    """
    descriptor = _taken(file, shown)
    try:
        yield
    finally:
        with suppress(OSError):  # The folder may be gone, and the lock with it.
            file.unlink(missing_ok=True)
        os.close(descriptor)


def refuse_in_use(file: Path, shown: str) -> None:
    """Raise ``InUseError`` where a run holds the lock ``file``; writes nothing."""
    if not os.path.lexists(file):
        return
    descriptor = _opened(file, shown, os.O_RDWR)
    if descriptor is not None:
        try:
            _flocked(descriptor, shown)
        finally:
            os.close(descriptor)


def _taken(file: Path, shown: str) -> int:
    """Return the descriptor of the file that has the name, locked."""
    while True:
        descriptor = _opened(file, shown, os.O_RDWR | os.O_CREAT)
        if descriptor is None:
            continue
        try:
            _flocked(descriptor, shown)
            if _same(descriptor, file):
                os.pwrite(descriptor, _SIGNED, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(file: Path, shown: str, flags: int) -> int | None:
    """Open a lock file of ours; None where it went away."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A pipe would make us wait, and a link would lead to somebody's file.
        descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        if not file.parent.is_dir():
            raise ConfigError(f"{shown}: {file.parent} cannot be written: choose another") from None
        return None
    except OSError as error:
        why = f"{file} cannot be opened ({error.strerror})"
        raise ConfigError(f"{shown}: {why}: choose another folder") from error
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if not regular or os.pread(descriptor, len(_SIGNED) + 1, 0) not in (b"", _SIGNED):
        os.close(descriptor)
        raise ConfigError(f"{shown}: {file} is not holdfast's: move it away or choose another")
    return descriptor


def _flocked(descriptor: int, shown: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUseError(f"{shown}: another run is writing it: {_WAY_OUT}") from None
    except OSError as error:
        why = f"its file system has no locks ({error.strerror})"
        raise ConfigError(f"{shown}: {why}: choose a folder on another one") from error


def _same(descriptor: int, file: Path) -> bool:
    """Tell whether the name still belongs to what was opened."""
    try:
        named = file.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)
