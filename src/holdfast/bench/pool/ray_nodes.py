"""The nodes of a Ray cluster: whether one of them has what a cell takes, now and later on.

Ray lets work wait without end for a node that may never come: here that is an error.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from holdfast.bench.pool.place import Place
from holdfast.errors import ConfigError

__all__ = ["PATIENCE", "Watch", "gpus_left_alone", "refuse_too_small"]

PATIENCE = 60.0
"""Seconds without a node that has what a cell takes, after which cells wait no longer."""
_LOOK = 5.0


def refuse_too_small(ray: Any, place: Place) -> None:
    """Raise ``ConfigError`` where no node of the cluster has what one cell takes."""
    nodes = _nodes(ray)
    if not any(_fits(node, place) for node in nodes):
        held = "; ".join(sorted(_told(n.get("CPU", 0), n.get("GPU", 0)) for n in nodes)) or "none"
        raise ConfigError(
            f"`executor=ray`: no node of the cluster has {_wanted(place)} for a cell (its nodes "
            f"have: {held}): start such a node, or lower `cpus_per_cell` or `gpus_per_cell`"
        )


def gpus_left_alone(ray: Any, place: Place) -> tuple[str, ...]:
    """Return what to say where the cluster has GPUs and cells are given none of them."""
    count = sum(node.get("GPU", 0) for node in _nodes(ray))
    if place.gpus_per_cell or not count:
        return ()
    return (f"cells ran on CPUs: of the cluster's {count:g} GPUs, `gpus_per_cell=0` takes none",)


class Watch:
    """Looks after a cluster while work is on it, and tells when no node is left for it."""

    def __init__(self, ray: Any, place: Place, gone: Callable[[str], None]) -> None:
        self._ray, self._place, self._gone = ray, place, gone
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        seen = time.monotonic()
        while not self._over.wait(min(_LOOK, PATIENCE)):
            if any(_fits(node, self._place) for node in _nodes(self._ray)):
                seen = time.monotonic()
            elif time.monotonic() - seen >= PATIENCE:
                self._gone(
                    f"no node with {_wanted(self._place)} is left in the cluster: start one, then "
                    "the same command again"
                )


def _nodes(ray: Any) -> list[dict[str, float]]:
    """Return what each live node has in all, in use or not."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fits(node: dict[str, float], place: Place) -> bool:
    return node.get("CPU", 0) >= place.cpus_per_cell and node.get("GPU", 0) >= place.gpus_per_cell


def _wanted(place: Place) -> str:
    return _told(place.cpus_per_cell, place.gpus_per_cell)


def _told(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPU{'s' * (cpus != 1)}" + (f" and {gpus:g} GPU" if gpus else "")
