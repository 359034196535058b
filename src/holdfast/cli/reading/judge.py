# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast judge``: judge answers that exist already, beside people's labels."""

from holdfast.cli.shell.console import print_json, print_table, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.inputs.configs import JudgeConfig

__all__ = ["judge"]


@takes(JudgeConfig, argument="file")
def judge(config: JudgeConfig, json: JsonFlag = False) -> None:
    """Judge answers in a file: shares, and agreement with people's labels and between judges."""
    from holdfast.commands.judge import judge_file

    with working(as_json=json) as progress:
        found = judge_file(config, progress)
    if json:
        print_json(found.as_json())
        return
    from holdfast.report.judgements import render_judgement

    print_table(render_judgement(found))
    if config.output is not None:
        say(f"verdicts: {config.output / 'verdicts.jsonl'}")
