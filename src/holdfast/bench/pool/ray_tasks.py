"""Work on a Ray cluster as futures, and what a node does before it works."""

import os
import socket
import threading
from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from holdfast.bench.pool.place import Place
from holdfast.bench.pool.ray_nodes import Watch
from holdfast.errors import RunError
from holdfast.results.provenance import versions
from holdfast.training.quiet import quiet

__all__ = ["Tasks", "tasks"]

_GPUS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_DECIDING = ("holdfast", "torch", "transformers", "trl", "peft", "accelerate")
"""What must be the same on every node, or a cell's figures depend on where it ran."""


@contextmanager
def tasks(ray: Any, place: Place, _workers: int) -> Generator["Tasks"]:
    """Open a pool of tasks; on an error those that are in flight are stopped."""
    pool = Tasks(ray, place)
    watch = Watch(ray, place, pool.fail)
    try:
        yield pool
    except BaseException:
        pool.cancel()
        raise
    finally:
        watch.end()


class Tasks:
    """Work on the cluster, as futures."""

    def __init__(self, ray: Any, place: Place) -> None:
        self._ray = ray
        self._sees_gpus = place.gpus_per_cell > 0
        share = {"num_cpus": place.cpus_per_cell, "num_gpus": place.gpus_per_cell}
        self._task = ray.remote(max_retries=0, **share)(_in_worker)
        self._flying: dict[Any, Future[Any]] = {}
        self._lock = threading.Lock()
        ends = ray.exceptions
        self._failed = ends.RayTaskError
        self._died = (ends.WorkerCrashedError, ends.NodeDiedError, ends.OutOfMemoryError)

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Run ``work(*arguments)`` in one task."""
        answer: Future[Any] = Future()
        reference = self._task.remote(_deciding(), self._sees_gpus, work, *arguments)
        with self._lock:
            self._flying[reference] = answer
        reference.future().add_done_callback(partial(self._ended, reference))
        return answer

    def _ended(self, reference: Any, found: Future[Any]) -> None:
        with self._lock:
            answer = self._flying.pop(reference, None)
        if answer is None:
            return
        error = found.exception()
        if error is None:
            answer.set_result(found.result())
        else:
            answer.set_exception(self._known(error))

    def _known(self, error: BaseException) -> BaseException:
        """Return the work's own error, or ``BrokenExecutor`` where the worker is gone."""
        if isinstance(error, self._failed):
            return getattr(error, "cause", None) or error
        if isinstance(error, self._died):
            return BrokenExecutor(str(error))
        return error

    def fail(self, why: str) -> None:
        """Stop what is in flight, and let it have failed for this reason."""
        for answer in self.cancel():
            answer.set_exception(RunError(why))

    def cancel(self) -> list[Future[Any]]:
        """Stop what is in flight, and return whose answers will never come."""
        with self._lock:
            flying, self._flying = self._flying, {}
        for reference in flying:
            self._ray.cancel(reference, force=True)
        return list(flying.values())


def _deciding() -> dict[str, str]:
    """Return the versions that decide figures, without what builds for CPU and GPU differ in."""
    here = versions()
    return {name: here.get(name, "").partition("+")[0] for name in _DECIDING}


def _in_worker(
    asked: dict[str, str], sees_gpus: bool, work: Callable[..., Any], *arguments: Any
) -> Any:
    """Do the work in a node's process, which must have the versions of the one that asks."""
    here = _deciding()
    for name, version in asked.items():
        if here[name] != version:
            raise RunError(
                f"node {socket.gethostname()} has {name} {here[name] or '(none)'} and the bench is "
                f"of {version or '(none)'}: install the same one on every node"
            )
    if not sees_gpus:  # Ray hides none from a task that asked for none: all would take the first.
        os.environ.update(dict.fromkeys(_GPUS, ""))
    torch.set_num_threads(1)
    quiet()
    return work(*arguments)
