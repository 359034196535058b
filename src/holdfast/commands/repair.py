"""Repair a finished model or adapter with a defense that acts after training."""

import time
from dataclasses import asdict
from typing import Any

from holdfast.artifact import Artifact
from holdfast.defense import Defense
from holdfast.errors import ConfigError
from holdfast.evaluation import Measurement
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import RepairConfig
from holdfast.inputs.judging import Examiner, check_items, judge_for
from holdfast.inputs.models import load_adapter, load_model, positions
from holdfast.inputs.rows import ORGANISM, Source, columns_of, source, test_items
from holdfast.inputs.specs import Spec, build_defenses, files_in
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.page import write_report
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib
from holdfast.results.records import PLAIN, Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.training.failures import as_run_error
from holdfast.training.standalone import repair as apply_repair

__all__ = ["RepairConfig", "repair"]


def repair(config: RepairConfig, progress: Progress = lambda *_: None) -> RunResult:
    """Repair ``config.model`` in memory and write ``config.output``; the input stays as it is.

    Args:
        config: What to do.
        progress: Called with (stage, done, in all).

    Returns:
        The result: the arm ``none`` is the model as it was given (where questions were given), the
        other the repaired one.

    Raises:
        InputError: Something given cannot be used; nothing was written.
        RunError: The repair failed; nothing was written.
    """
    start = time.perf_counter()
    method = _spec(config)
    output, apart = _folders(config, method)
    sources = _sources(config)
    [defense] = build_defenses([method], {role: s.rows for role, s in sources.items()})
    items, judge = test_items(config, config.model), judge_for(config.model, config.judge)
    model, tokenizer = _model(config)
    limit = positions(model, tokenizer)
    for each in sources.values():
        each.check_lengths(tokenizer, limit)
    check_items(items, tokenizer, limit, config.max_new_tokens)
    examiner = Examiner(items, tokenizer, judge, progress, config.max_new_tokens)
    before = examiner.examine("before", model)
    progress("repair", 0, 1)
    began = time.perf_counter()
    artifact = apply_repair(defense, model, tokenizer)
    seconds = time.perf_counter() - began
    progress("repair", 1, 1)
    run = SeedRun.of(
        0,
        examiner.examine("after", model),
        seconds=seconds,
        peak_memory_gib=peak_memory_gib(),
        artifacts=[str(apart.target / artifact.name)],
        diagnostics=diagnose([artifact]),
    )
    result = _result(config, defense, sources, before, run, time.perf_counter() - start)
    _save(config, (model, tokenizer), artifact, result, (output, apart))
    return result


def _spec(config: RepairConfig) -> Spec:
    """Return the method's spec with ``max_task_drop`` in it."""
    method = Spec.parse(config.method, "method")
    if config.max_task_drop is None:
        return method
    if "max_task_drop" in method.options:
        raise ConfigError("`max_task_drop` stands in `method` as well; give it once")
    if config.validation is None:
        raise ConfigError("`max_task_drop` needs `validation=FILE`, on which the drop is measured")
    given = f"{method.text}," if method.options else f"{method.card.name}:"
    return Spec.parse(f"{given}max_task_drop={config.max_task_drop}", "method")


def _folders(config: RepairConfig, method: Spec) -> tuple[WholeFolder, WholeFolder]:
    output = WholeFolder(config.output, overwrite=config.overwrite)
    beside = output.target.with_name(f"{output.target.name}-artifacts")
    apart = WholeFolder(config.artifacts or beside, overwrite=config.overwrite, field="artifacts")
    read = (config.model, config.adapter, config.harmful, config.validation)
    for folder in (output, apart):
        folder.check((*read, *files_in([method]).values()))
    if apart.target == output.target or output.target in apart.target.parents:
        raise ConfigError(f"`artifacts={apart.target}`: lies in the model's folder: choose another")
    return output, apart


def _sources(config: RepairConfig) -> dict[str, Source]:
    pairs = columns_of(config.harmful_columns, "harmful_columns")
    found = (
        source("harmful", config.harmful, pairs),
        source("validation", config.validation),
    )
    return {each.role: each for each in found if each is not None}


def _model(config: RepairConfig) -> tuple[Any, Any]:
    model, tokenizer = load_model(
        config.model,
        dtype=config.dtype,
        trust_remote_code=config.trust_remote_code,
        chat_template=config.chat_template,
    )
    return (load_adapter(model, config.adapter) if config.adapter else model), tokenizer


def _result(
    config: RepairConfig,
    defense: Defense,
    sources: dict[str, Source],
    before: Measurement | None,
    run: SeedRun,
    seconds: float,
) -> RunResult:
    arms = [Arm.of(PLAIN, [SeedRun.of(0, before)])] if before is not None else []
    settings = as_json({defense.card.name: defense.config()})
    return RunResult.of(
        "repair",
        [*arms, Arm.of(defense.card.name, [run], settings=settings)],
        model=config.model,
        real_model=config.model != ORGANISM,
        config=as_json(asdict(config)),
        data=[each.record() for each in sources.values()],
        seconds=seconds,
        peak_memory_gib=run.peak_memory_gib,
        warnings=[line for each in sources.values() for line in each.warnings()],
    )


def _save(
    config: RepairConfig,
    pair: tuple[Any, Any],
    artifact: Artifact,
    result: RunResult,
    folders: tuple[WholeFolder, WholeFolder],
) -> None:
    """Write model or adapter, tokenizer, report and artifacts, whole or not at all."""
    output, apart = folders
    try:
        with output.writing() as partial, apart.writing() as apart_partial:
            for each in pair:
                each.save_pretrained(partial)
            artifact.save(apart_partial)
            result.save(partial / "result.json")
            write_report(result, partial / "report.html", show_harmful=config.show_harmful)
    except Exception as error:
        known = as_run_error(error, "nothing was written")
        if known is None:
            raise
        raise known from error
