"""What a command shows: progress and notes on stderr, the result on stdout.

Libraries below write bars, warnings and even log lines to stdout; a machine that reads ``--json``
must get the object alone, so stdout is lent to stderr while a command works.
"""

import json
import sys
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from holdfast.cli.shell.durations import spelled
from holdfast.cli.shell.escaping import UnreadError, escaped_streams, json_safe, raw, visible
from holdfast.cli.shell.flags import with_flags
from holdfast.cli.shell.log_lines import log_lines
from holdfast.progress import Progress

__all__ = [
    "EscapingConsole", "TimeLeft", "print_json", "print_lines", "print_result", "print_rows",
    "print_table", "say", "working",
]  # fmt: skip


class EscapingConsole(Console):
    """A console that draws with its own codes and shows those that stand in a text."""

    def __init__(self, stream: Any) -> None:
        super().__init__(file=raw(stream), markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Say that nobody reads, instead of ending the process here."""
        raise UnreadError

    def render(self, renderable: Any, options: Any = None) -> Any:
        """Yield the segments of a renderable, their text without control characters."""
        for segment in super().render(renderable, options):
            if segment.control is None and segment.text != (shown := visible(segment.text)):
                yield Segment(shown, segment.style)
            else:
                yield segment


@contextmanager
def working(*, as_json: bool = False) -> Generator[Progress]:
    """Show progress on stderr, keep libraries quiet, and give stdout back at the end.

    A terminal gets bars, and none beside ``--json``; a file or a pipe gets lines.
    """
    from holdfast.training.quiet import quiet  # noqa: PLC0415  # Heavy: only when a command runs.

    console = EscapingConsole(sys.stderr)
    shown = _bars(console, hidden=as_json) if console.is_terminal else _lines()
    with (
        warnings.catch_warnings(), shown as report, escaped_streams(), redirect_stdout(sys.stderr)
    ):  # fmt: skip
        quiet()
        yield report


@contextmanager
def _lines() -> Generator[Progress]:
    with log_lines() as lines:
        yield lines.report


@contextmanager
def _bars(console: Console, *, hidden: bool) -> Generator[Progress]:
    told = TextColumn("{task.description}", markup=False)
    own = told, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bars = Bars(*own, TimeLeft(), console=console, disable=hidden)
    tasks: dict[str, Any] = {}

    def report(stage: str, done: int, total: int, said: str = "", /) -> None:
        del said
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, first=done, since=time.monotonic())
        bars.update(tasks[stage], completed=done, total=total, last=time.monotonic())

    with bars:
        yield report


class TimeLeft(ProgressColumn):
    """About how long a stage still takes, from what it took in this run alone.

    left = (seconds so far) / (items done in this run) · (items left), less the time since the last
    one; several workers are in it already. What an earlier run did (the stage's first count) took
    no time. Rich's own column looks at the last 30 seconds: a cell takes longer.
    """

    def render(self, task: Task) -> Text:
        """Draw the time left; nothing before the first item is done."""
        told: dict[str, Any] = task.fields
        done = task.completed - told.get("first", task.completed)
        if done <= 0 or task.finished:
            return Text("")
        left = (told["last"] - told["since"]) / done * (task.remaining or 0)
        return Text(f"about {spelled(max(0.0, left - (time.monotonic() - told['last'])))} left")


def say(line: str) -> None:
    """Write one line for the user to stderr, with flags for the fields that it quotes."""
    sys.stderr.write(f"{visible(with_flags(line))}\n")


def print_json(value: Any) -> None:
    """Write one JSON object to stdout."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    sys.stdout.write(json_safe(text, sys.stdout.encoding) + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Write lines that end with a line end to stdout."""
    sys.stdout.writelines(visible(line) for line in lines)


def print_result(result: Any) -> None:
    """Write the report's own table of a ``RunResult`` to stdout, where anything was measured.

    The table holds the warnings; without one they are told by themselves.
    """
    from holdfast.report.answers import warnings_of  # noqa: PLC0415  # Heavy.
    from holdfast.report.terminal import render_table, tables_beside  # noqa: PLC0415  # Heavy.

    spoken = [with_flags(warning) for warning in result.warnings]
    result = result.model_copy(update={"warnings": spoken})
    # A judge that could tell nothing leaves no figure: that is told, and what the others say.
    if any(arm.figures or any(run.judge for run in arm.runs) for arm in result.arms):
        print_table(render_table(result))
        return
    for table in tables_beside(result):
        print_table(table)
    for warning in warnings_of(result):
        say(f"warning: {warning}")


def print_table(value: Any) -> None:
    """Write anything that rich can draw to stdout."""
    # What an escape makes longer than the line is not cut: it was wrapped before.
    EscapingConsole(sys.stdout).print(value, crop=False)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as a table to stdout; shares have three digits.

    A terminal too narrow for it shows a line for each cell instead.
    """
    from holdfast.report.narrow import Fitting, words_whole  # noqa: PLC0415  # Heavy.

    table, heads = Table(title=title), [key.replace("_", " ") for key in rows[0]] if rows else []
    cells = [[_cell(value) for value in row.values()] for row in rows]
    for number, head in enumerate(heads):
        # The first column holds names to be copied: it stays on a line. No other one is cut short.
        table.add_column(head, no_wrap=number == 0, overflow="fold")
    for row in cells:
        table.add_row(*row)
    least = words_whole(heads, cells) if rows else 0
    print_table(Fitting(table, ["", *heads[1:]], cells, least))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
