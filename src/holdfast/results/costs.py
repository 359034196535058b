"""What a run costs over plain fine-tuning under the same attack and seed, in time and in memory.

Time is CPU time where both runs know theirs: several runs share a machine, and the clock counts
what the others do. It is the clock where one of them does not (files from before it was kept).
Runs of two machines are not compared: a seed on a GPU says nothing of one on a processor.
"""

import math
from collections.abc import Callable, Sequence

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.statistics import student
from holdfast.results.records import SeedRun

__all__ = ["Ratio", "memory_ratio", "perplexity_over", "ratios", "time_ratio"]

Ratio = Callable[[SeedRun, SeedRun], float | None]


def time_ratio(ours: SeedRun, theirs: SeedRun) -> float | None:
    """Return our time over theirs; None where it was not measured, or on another machine."""
    if _elsewhere(ours, theirs):
        return None
    return _over(ours.cpu_seconds, theirs.cpu_seconds) or _over(ours.seconds, theirs.seconds)


def memory_ratio(ours: SeedRun, theirs: SeedRun) -> float | None:
    """Return our peak memory over theirs; None where it was not measured, or on another machine."""
    if _elsewhere(ours, theirs):
        return None
    return _over(ours.peak_memory_gib, theirs.peak_memory_gib)


def ratios(ours: Sequence[SeedRun], theirs: Sequence[SeedRun], ratio: Ratio) -> list[float]:
    """Return the ratio of each seed that both sides have and know."""
    by_seed = {run.seed: run for run in theirs}
    found = (ratio(run, by_seed[run.seed]) for run in ours if run.seed in by_seed)
    return [one for one in found if one is not None]


def perplexity_over(runs: Sequence[SeedRun]) -> Interval | None:
    """Return the geometric mean over seeds; with several, Student's interval of its logarithm.

    None where a run has no perplexity: none was measured, or it is infinite.
    """
    logs = [math.log(run.perplexity) for run in runs if run.perplexity is not None]
    if not logs or len(logs) < len(runs):
        return None
    found = student(logs) if len(logs) > 1 else Interval(*[logs[0]] * 3)
    return Interval(*(math.exp(min(end, 700)) for end in (found.value, found.low, found.high)))


def _elsewhere(ours: SeedRun, theirs: SeedRun) -> bool:
    """Return whether the two are known to have run on different machines."""
    return bool(ours.machine and theirs.machine) and ours.machine != theirs.machine


def _over(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None
