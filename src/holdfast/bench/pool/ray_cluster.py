"""Run work as tasks of an existing Ray cluster: one CPU and one thread each, no retries of Ray's.

Ray is an extra (``pip install 'holdfast[ray]'``). The cluster is the one that ``RAY_ADDRESS``
names, or the one that ``ray start`` started on this machine. None is started here: cells on this
machine alone run as well without Ray.
"""

import importlib
import logging
import os
import socket
from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import torch

from holdfast.bench.pool.local import Pool
from holdfast.errors import ConfigError, RunError
from holdfast.results.provenance import versions
from holdfast.training.quiet import quiet

__all__ = ["ray_cluster"]

_START = "start one with 'ray start --head', or set RAY_ADDRESS to the HOST:PORT of one"


@contextmanager
def ray_cluster() -> Generator[Callable[[int], AbstractContextManager[Pool]]]:
    """Connect to the cluster and give what opens a pool of tasks on it.

    A connection that the caller had before is used and left open.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, or it has no CPU.
    """
    ray = _installed()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    try:
        if ray.cluster_resources().get("CPU", 0) < 1:
            raise ConfigError("`executor=ray`: the cluster has no CPU: add a node with one")
        yield lambda workers: _pool(ray)  # The caller keeps at most ``workers`` in flight.
    finally:
        if ours:
            ray.shutdown()


def _installed() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(
            f"`executor=ray`: Ray cannot be imported ({error}): pip install 'holdfast[ray]', or "
            "use `executor=local`"
        ) from error


def _connect(ray: Any) -> None:
    """Join the running cluster; an address where nobody listens is told at once, not by Ray."""
    address = os.environ.get("RAY_ADDRESS", "")
    given = urlsplit(address if "://" in address else f"//{address}")
    try:
        if address and given.hostname and given.port:
            socket.create_connection((given.hostname, given.port), timeout=5).close()
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        where = f"no Ray cluster answers at RAY_ADDRESS={address}" if address else (
            "no Ray cluster runs here"
        )  # fmt: skip
        why = " ".join(str(error).split())
        raise ConfigError(f"`executor=ray`: {where}: {_START} ({why})") from error


@contextmanager
def _pool(ray: Any) -> Generator["_Tasks"]:
    tasks = _Tasks(ray)
    try:
        yield tasks
    except BaseException:
        tasks.cancel()
        raise


class _Tasks:
    """Work on the cluster, as futures."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._task = ray.remote(num_cpus=1, max_retries=0)(_in_worker)
        self._flying: set[Any] = set()
        ends = ray.exceptions
        self._failed = ends.RayTaskError
        self._died = (ends.WorkerCrashedError, ends.NodeDiedError, ends.OutOfMemoryError)

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Run ``work(*arguments)`` in one task."""
        answer: Future[Any] = Future()
        reference = self._task.remote(versions()["holdfast"], work, *arguments)
        self._flying.add(reference)
        reference.future().add_done_callback(partial(self._ended, reference, answer))
        return answer

    def _ended(self, reference: Any, answer: Future[Any], found: Future[Any]) -> None:
        self._flying.discard(reference)
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

    def cancel(self) -> None:
        """Stop what is in flight; results that are written stay."""
        for reference in list(self._flying):
            self._ray.cancel(reference, force=True)


def _in_worker(version: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do the work in a node's process, which must be of the holdfast that asks."""
    here = versions()["holdfast"]
    if here != version:
        raise RunError(
            f"node {socket.gethostname()} has holdfast {here} and the bench is {version}: install "
            "the same one on every node"
        )
    torch.set_num_threads(1)
    quiet()
    return work(*arguments)
