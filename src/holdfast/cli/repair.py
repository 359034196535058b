# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast repair``: take harm back out of a finished model or adapter."""

from holdfast.cli.shell.console import print_json, print_result, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.inputs.configs import RepairConfig

__all__ = ["repair"]


@takes(RepairConfig)
def repair(config: RepairConfig, json: JsonFlag = False) -> None:
    """Repair a finished model or adapter without the user's data, and write --output."""
    from holdfast.commands.repair import repair as run
    from holdfast.report.answers import warnings_of

    with working(as_json=json) as progress:
        result = run(config, progress)
    arm = result.arms[-1]
    values = {name: each.values for name, each in arm.runs[0].diagnostics.items()}
    artifacts = list(arm.runs[0].artifacts)
    if json:
        found = {"output": str(config.output), "artifacts": artifacts, "rows": result.rows()}
        print_json({**found, "repair": values, "warnings": warnings_of(result)})
        return
    print_result(result)
    say(f"repaired: {config.output}")
    say(f"report: {config.output / 'report.html'}")
    for path in artifacts:
        say(f"kept apart: {path}")
