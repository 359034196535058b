"""``holdfast demo``: the organism is attacked, defended and measured, seed by seed."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.bench.demo_plan import (
    SCENARIOS,
    DemoConfig,
    Task,
    data_sources,
    find_modules,
)
from holdfast.bench.pool.local import local_pool
from holdfast.bench.tracks import TRACKS, Measured, arm_order, run_task, strength_zero
from holdfast.results.records import BEFORE, Arm
from holdfast.results.result import RunResult

__all__ = ["arms_of", "demo_tasks", "run_all", "run_demo"]

Progress = Callable[[str, int, int], None]
Found = dict[Task, Measured]


def run_demo(
    seeds: Sequence[int],
    out: Path,
    progress: Progress = lambda *_: None,
    config: DemoConfig | None = None,
) -> RunResult:
    """Run every arm for every scenario and seed; write and return the result.

    Seeds run side by side, one process and one thread each: two processes with two threads each
    would be several times slower on two cores.

    Args:
        seeds: Seeds to run.
        out: Folder for ``result.json``, ``report.html`` and ``robust_modules.json``.
        progress: Called with (stage, done, in all).
        config: Sizes and strengths; the published ones by default.
    """
    from holdfast.report.page import write_report  # noqa: PLC0415  # Imports matplotlib.

    start, config = time.perf_counter(), config or DemoConfig()
    tasks = demo_tasks(seeds, config, out / "robust_modules.json")
    progress("robust modules", 0, 1)
    robust = find_modules(config, out / "robust_modules.json")
    found, zero = run_all(tasks, progress)
    result = RunResult.of(
        "demo",
        arms_of(found),
        model="organism",
        real_model=False,
        config={
            **asdict(config),
            "scenarios": list(SCENARIOS),
            "robust_modules": [str(m) for m in robust.modules],
            "strength_zero_equals_plain": zero,
        },
        data=data_sources(tasks),
        seconds=time.perf_counter() - start,
        warnings=[
            *robust.warnings,
            *(f"{name} at strength 0 differs from plain" for name, ok in zero.items() if not ok),
        ],
    )
    result.save(out / "result.json")
    write_report(result, out / "report.html")
    return result


def demo_tasks(seeds: Sequence[int], config: DemoConfig, modules: Path) -> list[Task]:
    """Return every track of every scenario and seed, the longest first."""
    before = [Task(BEFORE, 0, config, scenario) for scenario in SCENARIOS]
    tracks = [
        Task(track, seed, config, scenario, modules)
        for scenario in SCENARIOS
        for seed in seeds
        for track in TRACKS[scenario]
    ]
    return [*tracks, *before]


def run_all(
    tasks: Sequence[Task], progress: Progress, *, check: bool = True
) -> tuple[Found, dict[str, bool]]:
    """Run the tasks in a pool of processes, and the check of strength 0 beside them.

    Args:
        tasks: What to run; started in this order.
        progress: Called with (stage, done, in all).
        check: Also compare every defense at no strength with plain fine-tuning.
    """
    found: Found = {}
    workers = max(1, min(os.cpu_count() or 1, len(tasks)))
    done, total = 0, len(tasks) + check
    progress("fine-tuning runs", done, total)
    with local_pool(workers) as pool:
        waiting: dict[Future[Any], Task] = {pool.submit(run_task, t): t for t in tasks}
        zero: list[Future[Any]] = [pool.submit(strength_zero, tasks[0].config)] if check else []
        for future in as_completed([*waiting, *zero]):
            done += 1
            progress("fine-tuning runs", done, total)
            if future in waiting:
                found[waiting[future]] = future.result()
        return found, zero[0].result() if zero else {}


def arms_of(found: Found) -> list[Arm]:
    """Return one arm for each scenario and name, its runs in the order of the seeds."""
    arms: list[Arm] = []
    for scenario in dict.fromkeys(task.scenario for task in found):
        here = {task: arms for task, arms in found.items() if task.scenario == scenario}
        p = max(task.p for task in here)
        flat = [(name, settings, run) for arms in here.values() for name, settings, run in arms]
        for name in arm_order([name for name, _, _ in flat]):
            runs = sorted((run for n, _, run in flat if n == name), key=lambda run: run.seed)
            settings = next(s for n, s, _ in flat if n == name)
            share = None if name == BEFORE else p
            arms.append(Arm.of(name, runs, scenario=scenario, p=share, settings=settings))
    return arms
