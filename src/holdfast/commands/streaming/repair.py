"""Repair a model larger than the memory: shard by shard, or its adapter beside no weights."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from holdfast.artifact import Artifact
from holdfast.commands.exports import export_artifacts
from holdfast.commands.inspection.subject import Subject, subject_of
from holdfast.commands.notes import Notes
from holdfast.commands.run_log import RunLog, forget_log
from holdfast.commands.streaming.adapter import adapter_alone
from holdfast.commands.streaming.shards import Shards
from holdfast.data.rendering.dates import fix_date
from holdfast.defense import Capability, Defense
from holdfast.errors import ConfigError
from holdfast.evaluation.drift.probed import carry_probed
from holdfast.files.base_mark import BaseMark
from holdfast.files.folders import ModelFolders
from holdfast.files.weights import open_weights
from holdfast.inputs.configs import InspectConfig, RepairConfig
from holdfast.inputs.fit.adapters import base_notes, check_own_template
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.secrets import refuse_secret_values
from holdfast.inputs.loading.base_card import base_card
from holdfast.inputs.loading.vocabulary import check_vocabulary
from holdfast.inputs.models import own_notes
from holdfast.inputs.rows import ORGANISM
from holdfast.inputs.specs import build_defenses, files_in, specs_of
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.model_card import write_card
from holdfast.report.page import write_report
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.training.failures import leaving
from holdfast.training.standalone import repair as apply_repair
from holdfast.training.trace import Trace

__all__ = ["streamed_repair"]

_UNUSED = (
    "harmful", "harmful_limit", "validation", "max_task_drop", "quantization", "device_map",
    "revision", "test_harmful", "test_safe", "test_task", "test_useful", "safe", "benign",
    "lookalike", "kit",
)  # fmt: skip
"""Fields that ask for a forward pass, or for a model in memory."""
Write = Callable[[Path], Artifact]
Say = Callable[[str], None]


def streamed_repair(config: RepairConfig, progress: Progress) -> RunResult:
    """Repair ``config.model`` and write ``config.output`` with the memory of one shard.

    Raises:
        InputError: The method needs the model in memory, or something given cannot be used;
            nothing was written.
        RunError: The disk is full; nothing was written.
    """
    start = time.perf_counter()
    _check(config)
    [spec] = specs_of(config)
    [defense] = build_defenses([spec], {})
    folders = ModelFolders(
        config.output, config.artifacts, export=config.export, overwrite=config.overwrite
    )
    folders.check([config.model, config.adapter, config.chat_template, *files_in([spec]).values()])
    subject = _subject(config)
    log, target, trace = RunLog(), folders.output.target, Trace()
    notes = Notes(log.say)
    told = log.stages(progress), notes.say
    write = (_adapter if config.adapter else _model)(config, defense, subject, *told)
    with (
        leaving(lambda: f"nothing was written{log.left(target)}"), log.of("repair"),
        folders.writing() as (partial, apart),
    ):  # fmt: skip
        forget_log(target)
        log.into(partial)
        with trace.running(defense, "after"):
            artifact = write(partial)
        carry_probed([Path(config.model), config.adapter], partial)
        subject.tokenizer.save_pretrained(partial)
        artifact.save(apart)
        said = [*base_notes(config), *own_notes(config, subject.tokenizer)]
        result = _result(config, defense, artifact, folders, start, trace, said)
        result.save(partial / "result.json")
        write_report(result, partial / "report.html", show_harmful=config.show_harmful)
        write_card(result, base_card(config.model), partial)
        log.say("finished")
    export_artifacts(folders.export, [artifact])
    notes.show()
    return result


def _check(config: RepairConfig) -> None:
    check_given(config)
    refuse_secret_values(asdict(config))
    plain = {each.name: each.default for each in fields(RepairConfig)}
    for name in _UNUSED:
        value = getattr(config, name)
        if value != plain[name]:
            raise ConfigError(
                f"`{name}={value}`: `streamed` loads no model and can run none: leave one of the "
                "two out (`holdfast evaluate` measures the repaired model where there is room)"
            )


def _subject(config: RepairConfig) -> Subject:
    """Return the model without weights, whose folder holds them."""
    subject = subject_of(
        InspectConfig(
            model=config.model,
            chat_template=config.chat_template,
            trust_remote_code=config.trust_remote_code,
        )
    )
    if subject.notes:
        raise ConfigError(f"`streamed` needs the files of a model: {subject.notes[0]}")
    if config.model == ORGANISM or not subject.weights:
        raise ConfigError(
            f"`streamed` needs the files of a model: `model={config.model}`: it is no folder on "
            "this disk: download it first (hf download), or leave `streamed` out"
        )
    if getattr(subject.model.config, "quantization_config", None) is not None:
        raise ConfigError(
            f"`model={config.model}`: its weights are quantized and cannot be edited: give "
            "the model in full"
        )
    check_vocabulary(subject.model, subject.tokenizer, f"`model={config.model}`")
    fix_date(subject.tokenizer)
    return subject


def _model(
    config: RepairConfig, defense: Defense, subject: Subject, progress: Progress, say: Say
) -> Write:
    """Return what writes the whole model."""
    model, work = subject.model, defense.tensorwise(subject.model)
    if work is None:
        raise _needs_memory(defense)
    shards = Shards.of(Path(config.model), model)
    dtype, total = getattr(torch, config.dtype), len(shards.files)

    def write(partial: Path) -> Artifact:
        progress("shards", 0, total)
        shards.write(partial, work, dtype, lambda done: progress("shards", done, total))
        model.config.dtype = dtype
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(partial)
        model.generation_config.save_pretrained(partial)
        made = work.artifact()
        # One that is not ours may say nothing.
        for line in getattr(work, "notes", list)():
            say(line)
        return made

    return write


def _adapter(
    config: RepairConfig, defense: Defense, subject: Subject, told: Progress, say: Say
) -> Write:
    """Return what writes the adapter; of the model only the weights that are asked for are read."""
    if Capability.EXTRA_BACKWARD in defense.needs():
        raise _needs_memory(defense)
    folder, bare = Path(str(config.adapter)), subject.model
    if config.chat_template is None:
        check_own_template(subject.tokenizer, folder, f"`adapter={folder}`")
    saved = open_weights(config.model, "`model`", bare)
    base = BaseMark.of_files(bare, saved, config.model)
    model, own = adapter_alone(bare, base, folder), _on_base(defense, config.model)

    def write(partial: Path) -> Artifact:
        artifact = apply_repair(own, model, subject.tokenizer, say=say, progress=told)
        model.save_pretrained(partial)
        base.save(partial)
        bare.generation_config.save_pretrained(partial)
        return artifact

    return write


def _on_base(defense: Defense, model: str) -> Defense:
    """Return the defense that reads the aligned weights, the adapter's base, from their files."""
    roles: Mapping[str, str] = defense.card.models or {}
    unset = [n for n, role in roles.items() if role == "aligned" and getattr(defense, n) is None]
    changed: Any = replace(defense, **dict.fromkeys(unset, model))  # type: ignore[type-var]
    return changed


def _needs_memory(defense: Defense) -> ConfigError:
    return ConfigError(
        f"{defense.card.name} as it is set needs passes through the whole model, which `streamed` "
        "does not load: leave `streamed` out (`device_map=auto` spreads a model over devices), or "
        "choose a method that changes one weight at a time"
    )


def _result(
    config: RepairConfig,
    defense: Defense,
    artifact: Artifact,
    folders: ModelFolders,
    start: float,
    trace: Trace,
    said: Sequence[str],
) -> RunResult:
    seconds = time.perf_counter() - start
    run = SeedRun.of(
        0,
        seconds=seconds,
        peak_memory_gib=peak_memory_gib(),
        trace=trace.rows(),
        artifacts=[str(folders.artifacts.target / artifact.name)],
        diagnostics=diagnose([artifact]),
    )
    settings = as_json({defense.card.name: defense.config()})
    return RunResult.of(
        "repair",
        [Arm.of(defense.card.name, [run], settings=settings)],
        model=config.model,
        real_model=True,
        config=as_json(asdict(config)),
        data=[],
        seconds=seconds,
        peak_memory_gib=run.peak_memory_gib,
        warnings=list(said),
    )
