"""The tree of commands."""

import typer

from holdfast.cli.analyze import analyze
from holdfast.cli.bench import bench
from holdfast.cli.data import data
from holdfast.cli.demo import demo
from holdfast.cli.evaluate import evaluate
from holdfast.cli.inspect import inspect
from holdfast.cli.listing import listing
from holdfast.cli.loop.choose import choose
from holdfast.cli.loop.redteam import redteam
from holdfast.cli.loop.screen import screen
from holdfast.cli.organism import organism
from holdfast.cli.reading.claims import claims
from holdfast.cli.reading.compare import compare
from holdfast.cli.reading.gate import gate
from holdfast.cli.reading.judge import judge
from holdfast.cli.repair import repair
from holdfast.cli.shell.options import interruptible
from holdfast.cli.tune import align, tune

__all__ = ["app"]

app = typer.Typer(
    name="holdfast",
    help="Fine-tune a language model without losing its safety.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands = (
    demo, inspect, data, screen, align, tune, repair, evaluate, redteam, gate, judge, analyze,
    bench, choose, compare, claims,
)  # fmt: skip
for command in commands:
    app.command(command.__name__)(interruptible(command))
app.command("list")(interruptible(listing))
app.add_typer(organism, name="organism")
