# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast gate``: may this model be released? A result that exists, held to limits."""

from holdfast.cli.printed.gate import print_gate
from holdfast.cli.shell.console import print_json, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.inputs.options.gate_options import GateConfig

__all__ = ["gate"]


@takes(GateConfig, argument="result")
def gate(config: GateConfig, json: JsonFlag = False) -> None:
    """Hold a result to limits: exit 0 if they hold, 3 if one does not, 4 if nobody can tell yet."""
    from holdfast.cli.shell.verdicts import end_with
    from holdfast.commands.gating.gate import gate_result

    with working(as_json=json):
        found = gate_result(config).gate
    if json:
        print_json(found and found.model_dump(mode="json"))
    else:
        print_gate(found)
        if config.output is not None:
            say(f"report: {config.output / 'report.html'}")
    end_with(found)
