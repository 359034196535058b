"""Where cells run: processes of this machine, or tasks of a Ray cluster that is already running.

Either one takes a function of a module with its arguments and answers with a future.
"""

from collections.abc import Generator
from contextlib import contextmanager

from holdfast.bench.pool.local import LOCAL, Executor
from holdfast.bench.pool.ray_cluster import ray_cluster
from holdfast.errors import ConfigError, nearest

__all__ = ["EXECUTORS", "check_executor", "opened"]

EXECUTORS = ("local", "ray")


@contextmanager
def opened(name: str) -> Generator[Executor]:
    """Connect to the executor of this name, and let go of it at the end.

    Raises:
        ConfigError: The name is unknown, Ray is not installed, or no cluster answers.
    """
    check_executor(name)
    if name == "local":
        yield LOCAL
    else:
        with ray_cluster() as pool:
            yield Executor(pool, tells_who=True)


def check_executor(name: str, workers: int = 1) -> None:
    """Raise ``ConfigError`` for a name that is none of ``EXECUTORS``, or without a worker."""
    if workers < 1:
        raise ConfigError(f"`workers={workers}` is out of range, expected at least 1")
    if name not in EXECUTORS:
        raise ConfigError(
            f"`executor={name}` is unknown, known: {', '.join(EXECUTORS)}."
            f"{nearest(name, EXECUTORS)}"
        )
