"""Run a function in several processes that form one run, as torchrun would start them."""

import os
import pickle
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch.distributed as dist
from accelerate.state import AcceleratorState, GradientState, PartialState


def in_processes(act: Callable[..., Any], *args: Any, count: int = 2, timeout: float = 180) -> list:
    """Run ``act(*args)`` in ``count`` forks over gloo on the CPU and return their results by rank.

    The process group is up when ``act`` begins; ``torch.distributed`` tells it its rank. A fork has
    all that this process has imported, so it starts at once, and ``act`` may be a local function.
    What it returns is pickled: give NumPy arrays, tensors, numbers, texts.

    Raises:
        AssertionError: It raised in a process (its traceback is the message), a process died, or
            they were not done in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        files = [Path(folder) / str(rank) for rank in range(count)]
        children = []
        for rank, file in enumerate(files):
            child = os.fork()
            if not child:
                _child(act, args, file, {"RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port})
            children.append(child)
        _wait(children, files, timeout)
        told = [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]  # noqa: S301
    failed = [one for one in told if one is None or not one[0]]
    # A process that raised is more telling than one whose partner went away.
    own = [e for e in failed if e and "Connection closed" not in e[1] and "gloo" not in e[1]]
    if failed:
        first: Any = (own or failed)[0]
        raise AssertionError(first[1] if first else "a process died")
    return [one[1] for one in told if one]


def _child(act: Callable[..., Any], args: Any, file: Path, env: dict[str, Any]) -> NoReturn:
    rank, count = env["RANK"], env["WORLD_SIZE"]
    code = 1
    try:
        more = {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
        own = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}
        os.environ.update({name: str(value) for name, value in {**env, **more, **own}.items()})
        for state in (AcceleratorState, GradientState, PartialState):
            state._shared_state.clear()
        dist.init_process_group("gloo", rank=rank, world_size=count)
        told = (True, act(*args))
        dist.barrier()
        code = 0
    except BaseException:  # noqa: BLE001
        told = (False, f"process {rank}:\n{traceback.format_exc()}")
    try:
        part = file.with_suffix(".part")
        part.write_bytes(pickle.dumps(told))
        part.rename(file)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait(children: list[int], files: list[Path], timeout: float) -> None:
    """Wait for all; where one fails or the time is over, the rest get a moment and are killed."""
    until, left = time.monotonic() + timeout, dict(zip(children, files, strict=True))
    while left:
        for child in list(left):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                del left[child]
                if status:
                    until = min(until, time.monotonic() + 10)
        if left and time.monotonic() > until:
            for child in left:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return
        time.sleep(0.02)
