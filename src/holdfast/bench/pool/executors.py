"""Where cells run: processes of this machine, or tasks of a Ray cluster that is already running.

Either one takes a function of a module with its arguments and answers with a future.
"""

from collections.abc import Generator
from contextlib import contextmanager

from holdfast.bench.pool.local import LOCAL, Executor
from holdfast.bench.pool.place import Place
from holdfast.bench.pool.ray_cluster import ray_cluster

__all__ = ["opened"]


@contextmanager
def opened(place: Place) -> Generator[Executor]:
    """Connect to the place's executor, and let go of it at the end.

    Raises:
        ConfigError: The place cannot be (``Place.check``), Ray is not installed, no cluster
            answers, or no node of it has what one cell takes.
    """
    place.check()
    if place.executor == "local":
        yield LOCAL
    else:
        with ray_cluster(place) as executor:
            yield executor
