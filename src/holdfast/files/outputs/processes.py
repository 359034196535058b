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

__all__ = ["another_tells", "hush", "is_hushed", "one_run", "place", "refuse_several", "told_once"]

_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""What launchers (torchrun, accelerate, MPI) tell each of their processes."""
_ONE_RUN: ContextVar[bool] = ContextVar("one_run", default=False)
_HUSHED = "_holdfast_hushed"


def place() -> tuple[int, int]:
    """Return this process's number, from 0, and how many torchrun or accelerate have started.

    A single one is the first, whatever number a cluster has left in its environment.
    """
    rank, count = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    told = rank.isdecimal() and count.isdecimal() and int(count) > 1
    return (int(rank), int(count)) if told else (0, 1)


def another_tells() -> bool:
    """Tell whether the first process says what this one would say of the same arguments.

    Who has a number and none on its machine was started by no launcher: a cluster sets RANK and
    WORLD_SIZE for all that runs there.
    """
    return place()[0] > 0 and os.environ.get("LOCAL_RANK", "").isdecimal()


@contextmanager
def one_run() -> Generator[None]:
    """Let the processes of a launcher be one run for the body, which lets one of them write.

    Raises:
        ConfigError: Of several processes none is told which one it is, or this one is not of them.
    """
    rank, count = place()
    if rank >= count:
        raise ConfigError(
            f"RANK={rank} is none of the {count} processes that WORLD_SIZE tells of, from 0: start "
            "all of them with torchrun, or remove both variables for a run of one process"
        )
    if count == 1:
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
            error = ConfigError(
                f"{count} processes were started as one run ({name}), and each would write "
                f"the same output: {way_out}"
            )
            raise told_once(error)


def told_once(error: Any) -> Any:
    """Return an error that each process meets in its arguments, hushed in all but the first."""
    return hush(error) if another_tells() else error


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
