"""``cost.csv``: what every arm costs; it differs from run to run and stands apart from figures."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.results.attacks import knob_columns
from holdfast.results.costs import memory_ratio, ratios
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["cost_rows"]


def cost_rows(result: RunResult) -> list[dict[str, Any]]:
    """Return one row for each arm that was tuned, with means over seeds.

    Seconds are those of the fine-tuning with what its defenses do before and after it, by the clock
    and of the CPU; ratios are to plain fine-tuning under the same attack and seeds.
    """
    return [_row(result, arm) for arm in result.arms if any(r.seconds for r in arm.runs)]


def _row(result: RunResult, arm: Arm) -> dict[str, Any]:
    plain = result.plain(arm)
    ((machine, _),) = Counter(run.machine for run in arm.runs).most_common(1)
    runs = [run for run in arm.runs if run.machine == machine]
    memory = ratios(runs, plain.runs, memory_ratio) if plain else []
    return {
        "scenario": arm.scenario,
        **knob_columns(arm.attack),
        "defense": arm.defense,
        "seeds": len(runs),
        "machine": machine,
        "seconds": _mean(runs, lambda run: run.seconds),
        "cpu_seconds": _mean(runs, lambda run: run.cpu_seconds),
        "peak_memory_gib": _mean(runs, lambda run: run.peak_memory_gib),
        "relative_time": result.relative_time(arm),
        "relative_memory": sum(memory) / len(memory) if memory else None,
    }


def _mean(runs: Sequence[SeedRun], of: Callable[[SeedRun], float | None]) -> float | None:
    found = [value for value in map(of, runs) if value is not None]
    return sum(found) / len(found) if found else None
