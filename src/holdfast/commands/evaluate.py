"""Measure one model on files of questions."""

import time
from dataclasses import asdict

from holdfast.errors import ConfigError
from holdfast.evaluation import Item
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.judging import Examiner, check_items, judge_for
from holdfast.inputs.models import load_adapter, load_model, positions
from holdfast.inputs.rows import ORGANISM, columns_of, load_items, own_items
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.page import write_report
from holdfast.results.records import BEFORE, Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["EvaluateConfig", "evaluate_model"]


def evaluate_model(config: EvaluateConfig, progress: Progress = lambda *_: None) -> RunResult:
    """Let the model answer the questions and return the shares, in the arm ``before``.

    Raises:
        InputError: Something given cannot be used; nothing was written.
    """
    start = time.perf_counter()
    folder = WholeFolder(config.output, overwrite=config.overwrite) if config.output else None
    items, judge = _items(config), judge_for(config.model, config.judge)
    if folder is not None:
        folder.check((config.model, config.adapter))
    model, tokenizer = load_model(
        config.model,
        dtype=config.dtype,
        trust_remote_code=config.trust_remote_code,
        chat_template=config.chat_template,
    )
    if config.adapter is not None:
        model = load_adapter(model, config.adapter)
    check_items(items, tokenizer, positions(model, tokenizer), config.max_new_tokens)
    examiner = Examiner(items, tokenizer, judge, progress, config.max_new_tokens, config.batch_size)
    measurement = examiner.examine("questions", model)
    result = RunResult.of(
        "evaluate",
        [Arm.of(BEFORE, [SeedRun.of(0, measurement)])],
        model=config.model,
        real_model=config.model != ORGANISM,
        config=as_json(asdict(config)),
        seconds=time.perf_counter() - start,
    )
    if folder is not None:
        with folder.writing() as partial:
            result.save(partial / "result.json")
            write_report(result, partial / "report.html", show_harmful=config.show_harmful)
    return result


def _items(config: EvaluateConfig) -> list[Item]:
    """Load the questions; the organism brings its own where no file is given."""
    for name, value in (
        ("limit", config.limit or 1),
        ("max_new_tokens", config.max_new_tokens),
        ("batch_size", config.batch_size),
    ):
        if value < 1:
            raise ConfigError(f"`{name}={value}` is out of range, expected at least 1")
    items = load_items(
        {
            "harmful": config.harmful,
            "safe": config.safe,
            "task": config.task,
            "useful": config.useful,
        },
        columns_of(config.columns),
        config.limit,
    )
    items = items or own_items(config.model)
    if not items:
        raise ConfigError("nothing to ask: give `harmful`, `safe`, `task` or `useful`, a file")
    return items
