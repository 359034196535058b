"""``holdfast demo``: the organism is attacked, defended and measured, seed by seed."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import torch

from holdfast.bench.quiet import quiet
from holdfast.bench.tracks import (
    SCENARIO,
    TRACKS,
    DemoConfig,
    Measured,
    Task,
    data_sources,
    run_task,
    strength_zero,
)
from holdfast.report.records import BEFORE, PLAIN, Arm
from holdfast.report.result import RunResult

Progress = Callable[[str, int, int], None]
ORDER = (
    BEFORE,
    PLAIN,
    "safe_mixing",
    "random_perturbation",
    "security_vectors",
    "panacea",
    "security_vectors+panacea",
)


def run_demo(
    seeds: Sequence[int],
    out: Path,
    progress: Progress = lambda *_: None,
    config: DemoConfig | None = None,
) -> RunResult:
    """Run every arm for every seed, write ``result.json`` and ``report.html``, return the result.

    Seeds run side by side, one process and one thread each: two processes with two threads each
    would be several times slower on two cores.

    Args:
        seeds: Seeds to run.
        out: Folder to write to.
        progress: Called with (stage, done, in all).
        config: Sizes and strengths; the published ones by default.
    """
    from holdfast.report.html import write_report  # noqa: PLC0415  # Imports matplotlib.

    start, config = time.perf_counter(), config or DemoConfig()
    tasks = [Task("before", 0, config), *(Task(t, s, config) for s in seeds for t in TRACKS)]
    found, zero = _all(tasks, progress)
    result = RunResult.of(
        "demo",
        _arms(found, config),
        model="organism",
        real_model=False,
        config={**asdict(config), "scenario": SCENARIO, "strength_zero_equals_plain": zero},
        data=data_sources(seeds, config),
        seconds=time.perf_counter() - start,
        warnings=[
            f"{name} at strength 0 differs from plain" for name, ok in zero.items() if not ok
        ],
    )
    result.save(out / "result.json")
    write_report(result, out / "report.html")
    return result


def _all(tasks: Sequence[Task], progress: Progress) -> tuple[Measured, dict[str, bool]]:
    """Run the tasks in a pool, and the check of strength 0 beside them."""
    found: Measured = []
    workers = max(1, min(os.cpu_count() or 1, len(tasks)))
    context = multiprocessing.get_context("spawn")
    done, total = 0, len(tasks) + 1
    progress("fine-tuning runs", done, total)
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        check = pool.submit(strength_zero, tasks[0].config)
        waiting = {check, *(pool.submit(run_task, task) for task in tasks)}
        try:
            for future in as_completed(waiting):
                done += 1
                progress("fine-tuning runs", done, total)
                if future is not check:
                    found += future.result()  # type: ignore[arg-type]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return found, check.result()


def _start_worker() -> None:
    torch.set_num_threads(1)
    quiet()


def _arms(found: Measured, config: DemoConfig) -> list[Arm]:
    arms: list[Arm] = []
    for name in ORDER:
        runs = sorted((run for n, _, run in found if n == name), key=lambda run: run.seed)
        settings = next((s for n, s, _ in found if n == name), {})
        if runs:
            share = None if name == BEFORE else config.p
            arms.append(Arm.of(name, runs, scenario=SCENARIO, p=share, settings=settings))
    return arms
