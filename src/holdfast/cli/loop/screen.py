# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast screen``: what is in the rows of a data set, before a model is trained on them."""

import typer

from holdfast.cli.shell.console import print_json, print_lines, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.commands.screening.options import ScreenConfig

__all__ = ["screen"]

FAILED = 3
"""Exit code where the rule of ``--fail-if`` holds."""


@takes(ScreenConfig, argument="file")
def screen(config: ScreenConfig, json: JsonFlag = False) -> None:
    """Screen a data set before training: what is in its rows, and what to do with each."""
    from holdfast.cli.printed.screen import shown
    from holdfast.commands.screening.screen import screen as run

    with working(as_json=json) as progress:
        found = run(config, progress)
    if json:
        print_json(found.file.model_dump(mode="json") | {"failed": found.failed})
    else:
        print_lines(f"{line}\n" for line in shown(found.file, config.top, config.output))
    if found.kept is not None:
        say(f"kept rows: {config.clean} ({found.kept:,} rows)")
    if config.output is not None:
        say(f"page: {config.output / 'screen.html'}")
    if found.failed:
        say(f"failed: {found.failed}")
        raise typer.Exit(FAILED)
