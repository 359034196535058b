"""Usefulness by the tasks of lm-eval (the EleutherAI harness), on the model that is loaded.

lm-eval is an extra (``pip install 'holdfast[lm-eval]'``). Its figures are its own: they stand
beside ours with the version of the program and of the task, the limit and the examples shown.
"""

import io
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError, DataError, RunError, nearest, reason_of
from holdfast.evaluation.generate import inference_mode
from holdfast.inputs.options.outside_options import BenchmarkOptions
from holdfast.integrations.optional import imported
from holdfast.progress import Progress
from holdfast.results.benchmarks import Benchmarks, BenchmarkScore

__all__ = ["BenchmarkTasks", "benchmark_tasks", "scores_in"]

_EXTRA = "'holdfast[lm-eval]'"
_RESAMPLES = 1000
"""Of the bootstrap, for metrics that have no standard error of their own."""


@dataclass(frozen=True)
class BenchmarkTasks:
    """Tasks that are known and whose questions are loaded."""

    options: BenchmarkOptions
    names: tuple[str, ...]
    manager: Any

    def measure(self, model: Any, tokenizer: Any, size: int, progress: Progress) -> Benchmarks:
        """Return lm-eval's figures of a model; the model and the tokenizer stay as they are.

        Args:
            model: Any causal language model, or a PEFT model around one.
            tokenizer: Its tokenizer.
            size: Questions in a batch.
            progress: Told that it begins; lm-eval counts for itself alone.

        Raises:
            RunError: lm-eval failed on the way.
        """
        progress("lm-eval", 0, len(self.names))
        harness = imported("lm_eval", _EXTRA, "`lm_eval`")
        wrapper = imported("lm_eval.models.huggingface", _EXTRA, "`lm_eval`").HFLM
        with _silent(), inference_mode(model):
            try:
                found = harness.simple_evaluate(
                    model=wrapper(model, tokenizer=deepcopy(tokenizer), batch_size=size),
                    tasks=list(self.names),
                    task_manager=self.manager,
                    num_fewshot=self.options.lm_eval_shots,
                    limit=self.options.lm_eval_limit,
                    apply_chat_template=self.options.lm_eval_template,
                    bootstrap_iters=_RESAMPLES,
                    log_samples=False,
                )
            except Exception as error:  # Tasks are programs of many authors.
                raise RunError(f"lm-eval failed: {reason_of(error)}") from error
        progress("lm-eval", len(self.names), len(self.names))
        return Benchmarks(
            tool=f"lm-eval {harness.__version__}",
            limit=self.options.lm_eval_limit,
            chat_template=self.options.lm_eval_template,
            scores=scores_in(found),
        )


def benchmark_tasks(options: BenchmarkOptions) -> BenchmarkTasks | None:
    """Return the tasks that are asked for, their questions loaded, or None where none is.

    Raises:
        ConfigError: lm-eval is not installed, a task is not known, or an option is out of range.
        DataError: The questions of a task cannot be loaded.
    """
    if options.lm_eval is None:
        _refuse_alone(options)
        return None
    if options.lm_eval_shots is not None and options.lm_eval_shots < 0:
        raise ConfigError(f"`lm_eval_shots={options.lm_eval_shots}`: give 0 or more")
    names = tuple(dict.fromkeys(filter(None, map(str.strip, options.lm_eval.split(",")))))
    if not names:
        raise ConfigError(f"`lm_eval={options.lm_eval}`: names no task: give one, such as arc_easy")
    manager = _manager(options.lm_eval_path, names)
    with _silent():
        try:
            manager.load(list(names))
        except Exception as error:  # Tasks are programs of many authors.
            where = " (with `lm_eval_path` nothing is asked of the hub)"
            raise DataError(
                f"`lm_eval={options.lm_eval}`: the questions cannot be loaded"
                f"{'' if options.asks_hub else where}: {reason_of(error)}"
            ) from error
    return BenchmarkTasks(options, names, manager)


def scores_in(found: Mapping[str, Any]) -> list[BenchmarkScore]:
    """Return the figures in what lm-eval returns; a group's tasks follow the group."""
    return [
        BenchmarkScore(
            task=task, metric=metric.removesuffix(",none"), value=value,
            stderr=_number(row.get(_error_of(metric))), version=str(found["versions"].get(task)),
            n=row.get("sample_len"), shots=found["n-shot"].get(task),
            higher_is_better=found["higher_is_better"].get(task, {}).get(metric.split(",")[0]),
        )
        for task, row in sorted(found["results"].items(), key=lambda pair: pair[0])
        for metric, value in row.items()
        if "," in metric and "_stderr," not in metric and _number(value) is not None
    ]  # fmt: skip


def _error_of(metric: str) -> str:
    """Return lm-eval's key of a metric's standard error: ``acc,none`` is ``acc_stderr,none``."""
    name, _, kind = metric.partition(",")
    return f"{name}_stderr,{kind}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _manager(path: Path | None, names: Sequence[str]) -> Any:
    """Return what finds tasks: in a folder of the user's, or else also in lm-eval itself."""
    if path is not None and not path.is_dir():
        raise ConfigError(f"`lm_eval_path={path}`: is no folder: give one with tasks (YAML)")
    make = imported("lm_eval.tasks", _EXTRA, "`lm_eval`").TaskManager
    with _silent():
        try:
            manager = make(include_path=path, include_defaults=False) if path else make()
            if path and not set(names) <= set(manager.all_tasks):
                manager = make(include_path=path)
        except Exception as error:
            raise ConfigError(
                f"`lm_eval_path={path}`: cannot be read: {reason_of(error)}"
            ) from error
    unknown = [name for name in names if name not in manager.all_tasks]
    if unknown:
        hint = nearest(unknown[0], manager.all_tasks) or " `lm-eval ls tasks` lists them."
        where = f", nor in `lm_eval_path={path}`" if path else ""
        raise ConfigError(f"`lm_eval`: no task {unknown[0]!r} in lm-eval{where}.{hint}")
    return manager


def _refuse_alone(options: BenchmarkOptions) -> None:
    """Refuse options of lm-eval without a task, which would do nothing in silence."""
    for name in ("lm_eval_path", "lm_eval_limit", "lm_eval_shots", "lm_eval_template"):
        if getattr(options, name) not in (None, False):
            raise ConfigError(f"`{name}` says how tasks are asked: add `lm_eval=TASK,...`")


@contextmanager
def _silent() -> Generator[None]:
    """Keep lm-eval's bars and log lines off the terminal; what fails is an error of ours."""
    log = logging.getLogger("lm_eval")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(before)
