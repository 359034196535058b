# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast data``: what a data file holds, and what a run would stumble over."""

from dataclasses import asdict
from typing import Annotated

import typer

from holdfast.cli.shell.console import print_json, print_lines, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.commands.data_view.options import DataConfig, DataOptions

__all__ = ["data"]

_HELP = "A data file, folder, pattern, several files with commas, hub id or kit."


@takes(DataOptions)
def data(
    options: DataOptions,
    file: Annotated[str, typer.Argument(help=_HELP)],
    json: JsonFlag = False,
) -> None:
    """Show what a data file holds: format, shape, lengths, repeats, and rows as a model reads."""
    from holdfast.cli.printed.data import shown
    from holdfast.commands.data_view.look import look_at_data

    with working(as_json=json):
        found = look_at_data(DataConfig(file=file, **asdict(options)))
    if json:
        print_json(found.as_json())
    else:
        print_lines(f"{line}\n" for line in shown(found))
