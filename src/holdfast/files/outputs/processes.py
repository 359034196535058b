"""How many processes were started as one run: each of them would write the same output.

A command that knows how to be one run of several processes says so by ``one_run``; the first of
them writes and speaks. Every other command refuses them.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from holdfast.errors import ConfigError

__all__ = ["hush", "is_hushed", "one_run", "place", "refuse_several"]

_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""What launchers (torchrun, accelerate, MPI) tell each of their processes."""
_ONE_RUN: ContextVar[bool] = ContextVar("one_run", default=False)
_HUSHED = "_holdfast_hushed"


def place() -> tuple[int, int]:
    """Return this process's number, from 0, and how many torchrun or accelerate have started."""
    rank, count = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    return (int(rank), int(count)) if rank.isdecimal() and count.isdecimal() else (0, 1)


@contextmanager
def one_run() -> Generator[None]:
    """Let the processes of a launcher be one run for the body, which lets one of them write.

    Raises:
        ConfigError: Of several processes none is told which one it is.
    """
    if place()[1] == 1:
        refuse_several("torchrun or accelerate launch tell each process its RANK")
    token = _ONE_RUN.set(True)
    try:
        yield
    finally:
        _ONE_RUN.reset(token)


def refuse_several(way_out: str = "start one process, without torchrun or mpirun") -> None:
    """Raise ``ConfigError`` in one of several processes of a launcher; nothing was written.

    Looks at what launchers leave in the environment, and at torch's and accelerate's own state
    where a program has set that up. Inside ``one_run`` nothing is refused.
    """
    if _ONE_RUN.get():
        return
    counts = {name: os.environ.get(name, "") for name in _COUNTS}
    told = {name: int(n) for name, n in counts.items() if n.isdecimal()} | _initialized()
    for name, count in told.items():
        if count > 1:
            raise hush(
                ConfigError(
                    f"{count} processes were started as one run ({name}), and each would write "
                    f"the same output: {way_out}"
                )
            )


def hush(error: Any, teller: int = 0) -> Any:
    """Return an error that one process tells, by default the first, marked as told in the rest."""
    setattr(error, _HUSHED, place()[0] != teller)
    return error


def is_hushed(error: BaseException | None) -> bool:
    """Tell whether another process tells an error, or what it came from."""
    while error is not None:
        if getattr(error, _HUSHED, False):
            return True
        error = error.__cause__
    return False


def _initialized() -> dict[str, int]:
    """Return the sizes that torch and accelerate know; asks only what is imported already."""
    found: dict[str, int] = {}
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        found["torch.distributed"] = int(distributed.get_world_size())
    state: Any = sys.modules.get("accelerate.state")
    if state is not None:
        # Asking for a new state would make one.
        shared: dict[str, Any] = getattr(state.PartialState, "_shared_state", {})
        found["accelerate"] = int(shared.get("num_processes") or 1)
    return found
