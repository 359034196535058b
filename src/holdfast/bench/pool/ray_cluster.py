"""Run work as tasks of an existing Ray cluster: one thread each, no retries of Ray's.

Ray is an extra (``pip install 'holdfast[ray]'``). The cluster is the one that ``RAY_ADDRESS``
names, or the one that ``ray start`` started on this machine. None is started here: cells on this
machine alone run as well without Ray.
"""

import importlib
import io
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from holdfast.bench.pool.local import Executor
from holdfast.bench.pool.place import Place
from holdfast.bench.pool.ray_nodes import gpus_left_alone, refuse_too_small
from holdfast.bench.pool.ray_tasks import tasks
from holdfast.errors import ConfigError

__all__ = ["ray_cluster"]

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 300
_START = "start one with 'ray start --head', or set RAY_ADDRESS to the HOST:PORT of one"


@contextmanager
def ray_cluster(place: Place) -> Generator[Executor]:
    """Connect to the cluster and give what opens a pool of tasks on it.

    A connection that the caller had before is used and left open.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, or no node of it has what a cell
            takes.
    """
    ray = _installed()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    try:
        refuse_too_small(ray, place)
        # The caller keeps no more in flight than it asks a pool for.
        pool = partial(tasks, ray, place)
        with redirect_stdout(_Short()):  # Ray prints there how a worker ended, into a table.
            yield Executor(pool, tells_who=True, notes=gpus_left_alone(ray, place))
    finally:
        if ours:
            ray.shutdown()


class _Short(io.TextIOBase):
    """Sends the first line of what is printed to where messages go, without colors."""

    def write(self, text: str, /) -> int:
        """Leave out what Ray adds to its reason: pages of a node's log."""
        if first := _COLOR.sub("", text).strip().partition("\n")[0]:
            sys.stderr.write(f"{first[:_LONGEST]}\n")
        return len(text)


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
        with _own_signals():
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        where = f"no Ray cluster answers at RAY_ADDRESS={address}" if address else (
            "no Ray cluster runs here"
        )  # fmt: skip
        why = " ".join(str(error).split())
        raise ConfigError(f"`executor=ray`: {where}: {_START} ({why})") from error


@contextmanager
def _own_signals() -> Generator[None]:
    """Put back what SIGTERM does here: Ray makes it an exit that says nothing and cancels none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[..., Any] | int | None = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
