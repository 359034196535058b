"""Measure one model on files of questions."""

import time

from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.read import Inputs, read
from holdfast.progress import Progress
from holdfast.report.page import write_report
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
    folder = WholeFolder(config.output, overwrite=config.overwrite) if config.output else None
    inputs = read(config, folder, progress)
    if folder is None:
        return _measured(inputs, start)
    with folder.held():
        result = _measured(inputs, start)
        with folder.writing() as partial:
            result.save(partial / "result.json")
            write_report(result, partial / "report.html", show_harmful=config.show_harmful)
    return result


def _measured(inputs: Inputs, start: float) -> RunResult:
    run = SeedRun.of(0, inputs.examiner.examine("questions", inputs.model))
    return inputs.result("evaluate", [Arm.of(BEFORE, [run])], start)
