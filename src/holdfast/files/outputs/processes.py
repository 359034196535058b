"""How many processes were started as one run: each of them would write the same output."""

import os
import sys
from typing import Any

from holdfast.errors import ConfigError

__all__ = ["refuse_several"]

_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""What launchers (torchrun, accelerate, MPI) tell each of their processes."""


def refuse_several() -> None:
    """Raise ``ConfigError`` in one of several processes of a launcher; nothing was written.

    Looks at what launchers leave in the environment, and at torch's and accelerate's own state
    where a program has set that up.
    """
    counts = {name: os.environ.get(name, "") for name in _COUNTS}
    told = {name: int(n) for name, n in counts.items() if n.isdecimal()} | _initialized()
    for name, count in told.items():
        if count > 1:
            raise ConfigError(
                f"{count} processes were started as one run ({name}), and each would write the "
                "same output: start one process, without torchrun, accelerate launch or mpirun"
            )


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
