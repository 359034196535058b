"""What a stage of a cell costs: seconds by the clock, and CPU seconds of this process.

Several workers share a machine, so the clock counts what the others do as well; CPU time counts
the threads of one process alone.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cost", "Stopwatch"]


@dataclass(frozen=True)
class Cost:
    """Time that a stage took, in seconds; two stages add up."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Return what both took."""
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def __sub__(self, other: "Cost") -> "Cost":
        """Return what is left without a part that is no cost of the run."""
        return Cost(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)

    @classmethod
    def noted(cls, said: Mapping[str, Any]) -> "Cost":
        """Return the cost that stands in a document beside other things."""
        return cls(said["seconds"], said["cpu_seconds"])


class Stopwatch:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    @property
    def cost(self) -> Cost:
        """What has gone by."""
        return Cost(time.perf_counter() - self._clock, time.process_time() - self._cpu)
