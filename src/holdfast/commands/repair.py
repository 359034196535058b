"""Repair a finished model or adapter with a defense that acts after training."""

import time

from holdfast.artifact import Artifact
from holdfast.commands.exports import export_artifacts
from holdfast.commands.notes import Notes
from holdfast.commands.run_log import RunLog, forget_log
from holdfast.commands.served import save_served
from holdfast.commands.streaming.repair import streamed_repair
from holdfast.files.folders import ModelFolders
from holdfast.inputs.configs import RepairConfig
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.judging import forget_kept, kept_verdicts
from holdfast.inputs.loading.base_card import base_card
from holdfast.inputs.read import Inputs, read
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.model_card import write_card
from holdfast.report.page import write_report
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib
from holdfast.results.records import PLAIN, Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.training.failures import leaving
from holdfast.training.standalone import repair as apply_repair
from holdfast.training.trace import Trace

__all__ = ["RepairConfig", "repair"]


@offline_where_local
def repair(config: RepairConfig, progress: Progress = lambda *_: None) -> RunResult:
    """Repair ``config.model`` in memory and write ``config.output``; the input stays as it is.

    Returns:
        The result: the arm ``none`` is the model as it was given (where questions were given), the
        other the repaired one.

    Raises:
        InputError: Something given cannot be used; nothing was written.
        RunError: The repair failed; nothing was written.
    """
    if config.streamed:
        return streamed_repair(config, progress)
    start = time.perf_counter()
    folders = ModelFolders(
        config.output, config.artifacts, export=config.export, overwrite=config.overwrite
    )
    log = RunLog()
    inputs = read(config, folders, log.stages(progress))
    target, judges = folders.output.target, inputs.examiner.judges
    with folders.held():
        forget_log(target)
        with (
            leaving(lambda: f"nothing was written{log.left(target)}{kept_verdicts(judges)}"),
            log.of("repair"),
        ):
            result, artifact = _repaired(config, inputs, folders, start, log)
        export_artifacts(folders.export, [artifact])
    forget_kept(judges)
    return result


def _repaired(
    config: RepairConfig, inputs: Inputs, folders: ModelFolders, start: float, log: RunLog
) -> tuple[RunResult, Artifact]:
    [defense], examiner = inputs.defenses, inputs.examiner
    notes, progress = Notes(log.say), examiner.progress
    before = examiner.examine("before", inputs.model)
    progress("repair", 0, 1)
    began = time.perf_counter()
    trace = Trace()
    with trace.running(defense, "after"):
        artifact = apply_repair(
            defense, inputs.model, examiner.tokenizer, say=notes.say, progress=progress
        )
    seconds = time.perf_counter() - began
    progress("repair", 1, 1)
    run = SeedRun.of(
        0,
        examiner.examine("after", inputs.model),
        seconds=seconds,
        peak_memory_gib=peak_memory_gib(),
        trace=trace.rows(),
        artifacts=[str(folders.artifacts.target / artifact.name)],
        diagnostics=diagnose([artifact]),
    )
    arms = [Arm.of(PLAIN, [SeedRun.of(0, before)])] if before is not None else []
    settings = as_json({defense.card.name: defense.config()})
    arms.append(Arm.of(defense.card.name, [run], settings=settings))
    result = inputs.result("repair", arms, start)
    with folders.writing() as (partial, apart):
        log.into(partial)
        save_served(inputs.model, inputs, partial)
        artifact.save(apart)
        result.save(partial / "result.json")
        write_report(result, partial / "report.html", show_harmful=config.show_harmful)
        write_card(result, base_card(config.model), partial)
        log.say("finished")
    notes.show()
    return result, artifact
