"""Measure one model on files of questions."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from holdfast.commands.gating.plan import Plan
from holdfast.commands.redteaming.team import Team, attacked, keep_texts
from holdfast.evaluation.generate import Engine
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import EvaluateConfig, RedteamConfig
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.judging import forget_kept, kept_verdicts
from holdfast.inputs.read import Inputs, read
from holdfast.integrations.engines.opened import answering
from holdfast.integrations.lm_eval import BenchmarkTasks, benchmark_tasks
from holdfast.progress import Progress
from holdfast.report.release.files import write_release
from holdfast.results.records import BEFORE, Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["EvaluateConfig", "evaluate_model"]


@offline_where_local
def evaluate_model(config: EvaluateConfig, progress: Progress = lambda *_: None) -> RunResult:
    """Let the model answer the questions and return the shares, in the arm ``before``.

    Raises:
        InputError: Something given cannot be used; nothing was written.
    """
    start = time.perf_counter()
    plan = Plan.of(config)
    config = plan.applied(config)
    folder = WholeFolder(config.output, overwrite=config.overwrite) if config.output else None
    tasks = benchmark_tasks(config)
    inputs = read(config, folder, progress, answering)
    plan.check(inputs.examiner)
    team = Team.of(config, inputs)
    with _telling(inputs):
        if folder is None:
            return _finished(inputs, _judged(inputs, plan, team, _measured(inputs, tasks, start)))
        with folder.held():
            result = _judged(inputs, plan, team, _measured(inputs, tasks, start))
            with folder.writing() as partial:
                write_release(result, partial, show_harmful=config.show_harmful)
                keep_texts(team, partial)
        return _finished(inputs, result)


@contextmanager
def _telling(inputs: Inputs) -> Generator[None]:
    """Let a run that is stopped tell of the answers and verdicts that it leaves."""
    try:
        yield
    except KeyboardInterrupt as error:
        place = getattr(getattr(inputs.model, "kept", None), "path", None)
        there = place is not None and place.exists()
        left = f"; answers that were made are in {place}: the same command goes on" * there
        left += kept_verdicts(inputs.examiner.judges)
        if not left:
            raise
        told = str(error) or "stopped by Ctrl-C: nothing was written"
        raise KeyboardInterrupt(f"{told}{left}") from error


def _judged(inputs: Inputs, plan: Plan, team: Team | None, result: RunResult) -> RunResult:
    """Return the result with the attacks, and then with the verdict on all of it."""
    return plan.gated(attacked(result, team), inputs.model)


def _finished(inputs: Inputs, result: RunResult) -> RunResult:
    """Let an engine and the judges know that answers and verdicts are in a result."""
    forget_kept(inputs.examiner.judges)
    if isinstance(inputs.model, Engine):
        inputs.model.finished()
    return result


def _measured(inputs: Inputs, tasks: BenchmarkTasks | None, start: float) -> RunResult:
    asked = inputs.examiner
    run = SeedRun.of(0, asked.examine("questions", inputs.model))
    how = asked.tokenizer, asked.batch_size, asked.progress
    benchmarks = tasks.measure(inputs.model, *how) if tasks else None
    command = "redteam" if isinstance(inputs.config, RedteamConfig) else "evaluate"
    result = inputs.result(command, [Arm.of(BEFORE, [run])], start)
    return result.model_copy(update={"benchmarks": benchmarks})
