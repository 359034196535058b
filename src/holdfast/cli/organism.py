# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast organism``: build the test model, or check how its harm answers to the attack."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.shell.console import print_json, print_table, say, working
from holdfast.cli.shell.options import JsonFlag, interruptible
from holdfast.errors import ConfigError

__all__ = ["build", "check", "organism"]

organism = typer.Typer(
    help="The built-in test model: a small aligned model with invented hazards.",
    no_args_is_help=True,
)


@organism.command("build")
@interruptible
def build(
    out: Annotated[Path, typer.Option(help="New folder for the model.")],
    arch: Annotated[str, typer.Option(help="llama, qwen2, gemma2, mistral or gpt_neox.")] = "llama",
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the data's order.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Train the test model of one architecture from its recipe."""
    from holdfast.organism import build as run

    with working(as_json=True):  # The recipe draws its own bar.
        found = run(arch, out, seed=seed, show_progress=not json)
    if json:
        print_json({"out": str(out), **found})
        return
    for line in found["differs"]:
        say(f"differs from the shipped one: {line}")
    say(f"{arch}: {out}")


@organism.command("check")
@interruptible
def check(
    folder: Annotated[
        str, typer.Argument(help="Folder of a test model, or llama for the shipped one.")
    ] = "llama",
    seeds: Annotated[int, typer.Option(help="Runs per point, at least 1.")] = 3,
    json: JsonFlag = False,
) -> None:
    """Print the calibration: harm over the share of harmful rows, learning rate and epochs."""
    if not 1 <= seeds <= 1000:
        bound = "at least 1" if seeds < 1 else "at most 1000"
        raise ConfigError(f"--seeds {seeds} is out of range, expected {bound}")
    from holdfast.bench.packaged import calibrate, show

    with working(as_json=json) as progress:
        found = calibrate(folder, range(seeds), progress)
    if json:
        print_json(found)
    else:
        show(found, print_table)
