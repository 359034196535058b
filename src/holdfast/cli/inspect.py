# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast inspect``: what a model is, and what can be done with it."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.shell.console import print_json, print_lines, working
from holdfast.cli.shell.options import JsonFlag
from holdfast.inputs.configs import InspectConfig

__all__ = ["inspect"]


def inspect(
    model: Annotated[str, typer.Argument(help="Model folder, hub id (owner/name), or 'organism'.")],
    adapter: Annotated[
        Path | None, typer.Option(help="Folder of a LoRA adapter on the model.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub model.")
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file with a chat template, in place of its own.")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option(help="Run code that comes with the model; off: it can do anything.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Say what a model is and what each method can do on it; no weights are read or downloaded."""
    from holdfast.commands.inspect import inspect_model
    from holdfast.commands.inspection.page import lines_of

    config = InspectConfig(
        model=model,
        adapter=adapter,
        revision=revision,
        chat_template=chat_template,
        trust_remote_code=trust_remote_code,
    )
    with working(as_json=json):
        found = inspect_model(config)
    if json:
        print_json(found.summary())
        return
    print_lines(f"{line}\n" for line in lines_of(found))
