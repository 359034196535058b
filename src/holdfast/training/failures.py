"""Name a run's failures that are no fault of holdfast: disk or memory full, a file unwritten."""

import errno
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pickle import UnpicklingError

import torch

from holdfast.errors import RunError

__all__ = ["as_run_error", "disk_is_full", "leaving", "memory_is_full"]

# What safetensors (Rust) and torch's zip writer say; they raise no OSError. The last is what the
# writer's own closing says in place of that.
_SAID = (
    "no space left on device", "os error 28", "disk quota exceeded", "failed writing file",
    "unexpected pos ",
)  # fmt: skip
_UNWRITTEN = re.compile(r"while serializing: I/O error: (.+) \(os error \d+\)")
"""What safetensors says of any other reason, in place of an OSError."""
_NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "std::bad_alloc",
    "cublas_status_alloc_failed", "not enough memory",
)  # fmt: skip


@contextmanager
def leaving(kept: Callable[[], str]) -> Generator[None]:
    """Let a body that stops leave what ``kept`` keeps and tells: it ends the error's message."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{str(error) or 'stopped by Ctrl-C'}: {kept()}") from error
    except Exception as error:
        told = kept()
        known = as_run_error(error, told)
        if known is None:
            error.add_note(told)
            raise
        raise known from error


def as_run_error(error: BaseException, kept: str) -> RunError | None:
    """Return what a failure means for the user, or None if it is none of those known here.

    ``kept``, what is left and how to go on, ends the message.
    """
    if disk_is_full(error):
        return RunError(f"the disk is full: free some space; {kept}")
    if memory_is_full(error):
        return RunError(f"memory is full: lower `batch_size`, or use `lora=True`; {kept}")
    if (why := _UNWRITTEN.search(str(error))) is not None:
        return RunError(f"a file cannot be written: {why[1]}: choose another folder; {kept}")
    if isinstance(error, UnpicklingError):
        said = "a checkpoint's file of the trainer's state holds more than numbers"
        return RunError(f"{said}, and is not read: it can run code; {kept}")
    return None


def memory_is_full(error: BaseException) -> bool:
    """Tell whether the error says that no memory is left, on the GPU or beside it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    said = str(error).lower()
    # torch's allocators and cuBLAS raise a plain RuntimeError.
    return no_memory or (isinstance(error, RuntimeError) and any(w in said for w in _NO_MEMORY))


def disk_is_full(error: BaseException) -> bool:
    """Tell whether the error, or one that it came from, says that no space is left."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(said in str(cause).lower() for said in _SAID):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False
