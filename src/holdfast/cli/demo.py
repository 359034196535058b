# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast demo``: the whole story on the built-in test model."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.shell.console import print_json, print_result, say, working
from holdfast.cli.shell.options import Interrupted, JsonFlag
from holdfast.errors import ConfigError

__all__ = ["demo"]


def demo(
    seeds: Annotated[int, typer.Option(help="Runs per defense, each with its own seed.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for result.json and report.html.")] = Path(
        "demo-out"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder.")] = False,
    json: JsonFlag = False,
) -> None:
    """Attack the built-in test model by its fine-tuning data, defend it, and write the report."""
    if not 1 <= seeds <= 1000:
        bound = "at least 1" if seeds < 1 else "at most 1000"
        raise ConfigError(f"--seeds {seeds} is out of range, expected {bound}")
    from holdfast.bench.packaged import run_demo
    from holdfast.files.folders import WholeFolder
    from holdfast.report.answers import warnings_of

    folder = WholeFolder(out, overwrite=overwrite, field="out")
    folder.check()
    try:
        with folder.writing() as partial, working(as_json=json) as progress:
            result = run_demo(list(range(seeds)), partial, progress)
    except KeyboardInterrupt:
        raise Interrupted(f"nothing was written to {out}") from None
    if json:
        print_json({"rows": result.rows(), "warnings": warnings_of(result)})
    else:
        print_result(result)
        say(f"report: {out / 'report.html'}")
