"""Cells in processes of this machine; what any executor is.

A worker that dies is a ``BrokenExecutor``: in a pool of processes it ends every future of the pool
and nobody says whose fault it was; Ray tells of the one task and goes on with the others.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any, Protocol

import torch
from tqdm import tqdm

from holdfast.training.quiet import quiet

__all__ = ["LOCAL", "Executor", "Pool", "local_pool"]

_PROCESSES = multiprocessing.get_context("spawn")


class Pool(Protocol):
    """Takes work."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Run ``work(*arguments)`` in a worker; raises ``BrokenExecutor`` in a broken pool."""
        ...


@dataclass(frozen=True)
class Executor:
    """One place where cells run."""

    pool: Callable[[int], AbstractContextManager[Pool]]
    """Opens a pool of this many workers; work that has not begun is dropped on an error."""
    tells_who: bool
    """Whether a dead worker fails its own work alone, and the pool goes on."""
    notes: tuple[str, ...] = ()
    """What is to be told of a run there."""


@contextmanager
def local_pool(workers: int) -> Generator[ProcessPoolExecutor]:
    """Open a pool of new processes with one thread each, which end with this one or on an error."""
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(max(1, workers), _PROCESSES, _start_worker) as pool:
        try:
            yield pool
        except BaseException:
            # A worker that went on would write into a folder that its owner is about to remove.
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise


LOCAL = Executor(local_pool, tells_who=False)


def _start_worker() -> None:
    """Make a new process one that works for this one: one thread, silent, gone when it is gone."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # Its own, between processes, outlives a worker that is ended.
    quiet()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker when its parent is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
