# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast tune`` and ``holdfast align``: train a model with defenses."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.auto import chosen_by_limits
from holdfast.cli.shell.console import print_json, print_result, say, working
from holdfast.cli.shell.followers import first_alone_speaks
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.inputs.configs import AlignConfig, TuneConfig

AccelerateFile = Annotated[
    Path | None,
    typer.Option(
        help="Start the command in several processes, by accelerate's launcher with this YAML file."
    ),
]

__all__ = ["align", "tune"]


@takes(TuneConfig)
def tune(
    config: TuneConfig, json: JsonFlag = False, accelerate_config: AccelerateFile = None
) -> None:
    """Fine-tune a causal language model on --data, with defenses, and write --output."""
    _run(config, accelerate_config, as_json=json)


@takes(AlignConfig)
def align(
    config: AlignConfig, json: JsonFlag = False, accelerate_config: AccelerateFile = None
) -> None:
    """Train a model on alignment data so that later tuning harms it less; tune what it writes."""
    _run(config, accelerate_config, as_json=json)


@first_alone_speaks()
def _run(config: TuneConfig, accelerate_config: Path | None, *, as_json: bool) -> None:
    if accelerate_config is not None:
        from holdfast.cli.shell.launch import launch

        launch(config, accelerate_config, ["--json"] if as_json else [])
    if chosen_by_limits(config, as_json=as_json):
        return
    from holdfast.commands.tune import tune as run
    from holdfast.report.answers import warnings_of

    with working(as_json=as_json) as progress:
        result = run(config, progress)
    artifacts = [path for arm in result.arms for seed in arm.runs for path in seed.artifacts]
    if as_json:
        told = {"artifacts": artifacts, "rows": result.rows(), "warnings": warnings_of(result)}
        print_json({"output": str(config.output), **told})
        return
    print_result(result)
    say(f"model: {config.output}")
    say(f"report: {config.output / 'report.html'}")
    for path in artifacts:
        say(f"kept apart, do not publish beside the model: {path}")
