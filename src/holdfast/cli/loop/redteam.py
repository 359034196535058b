# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast redteam``: attack a tuned model before others do."""

from holdfast.cli.evaluate import measured
from holdfast.cli.shell.console import print_json, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.inputs.configs import RedteamConfig

__all__ = ["redteam"]


@takes(RedteamConfig)
def redteam(config: RedteamConfig, json: JsonFlag = False) -> None:
    """Attack a model with harmful questions: how many does it answer, asked in other ways?"""
    if config.freeze is None:
        measured(config, json)
        return
    from holdfast.commands.redteaming.freezing import freeze

    with working(as_json=json):
        found, notes = freeze(config)
    counts = {name: len(asked) for name, asked in found.prompts.items()}
    if json:
        told = {"frozen": str(config.freeze), "sha256": found.sha256, "prompts": counts}
        print_json({**told, "warnings": notes})
        return
    say(", ".join(f"{name}: {count} prompts" for name, count in counts.items()))
    for name, why in found.missing.items():
        say(f"not made: {name}: {why}")
    for note in notes:
        say(f"to know: {note}")
    say(f"frozen: {config.freeze} (SHA-256 {found.sha256[:16]}…)")
