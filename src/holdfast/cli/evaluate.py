# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast evaluate``: measure harm, over-refusal and usefulness of a model."""

from typing import Any

from holdfast.cli.printed.gate import print_gate
from holdfast.cli.shell.console import print_json, print_result, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.cli.shell.verdicts import end_with
from holdfast.inputs.configs import EvaluateConfig

__all__ = ["evaluate", "measured"]


@takes(EvaluateConfig)
def evaluate(config: EvaluateConfig, json: JsonFlag = False) -> None:
    """Let a model answer files of questions and print the shares with their intervals."""
    measured(config, json)


def measured(config: EvaluateConfig, json: bool) -> None:
    """Let the model answer, and print what was measured."""
    from holdfast.commands.evaluate import evaluate_model
    from holdfast.report.answers import warnings_of
    from holdfast.report.odd_answers import distinct, distinct_text

    with working(as_json=json) as progress:
        result = evaluate_model(config, progress)
    [run] = result.arms[0].runs
    shares: dict[str, Any] = {name: share.__dict__ for name, share in run.shares.items()}
    if json:
        told: dict[str, Any] = {"cut": run.cut, "decoding": run.decoding, "distinct": distinct(run)}
        told["benchmarks"] = result.benchmarks and result.benchmarks.model_dump()
        told["warnings"] = warnings_of(result)
        told["red_team"] = result.red_team and result.red_team.model_dump(mode="json")
        judged = result.model_dump(include={"agreement"})
        beside = {one.judge: {f: s.__dict__ for f, s in one.shares.items()} for one in run.readings}
        shown = {"judge": run.judge, "shares": shares, "beside": beside, **judged}
        if result.gate is not None:
            told["gate"] = result.gate.model_dump(mode="json")
        print_json({"model": config.model, **shown, **told})
        end_with(result.gate)
        return
    print_result(result)
    print_gate(result.gate)
    if run.judge:
        say(f"distinct answers: {distinct_text(run)}")
        say(f"judge: {' beside '.join([run.judge, *(one.judge for one in run.readings)])}")
    if config.output is not None:
        say(f"report: {config.output / 'report.html'}")
    end_with(result.gate)
