"""What a command shows: progress and notes on stderr, the result on stdout.

Libraries below write bars, warnings and even log lines to stdout; a machine that reads ``--json``
must get the object alone, so stdout is lent to stderr while a command works.
"""

import json
import math
import sys
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
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
from rich.table import Table
from rich.text import Text

from holdfast.cli.shell.flags import with_flags
from holdfast.progress import Progress

__all__ = ["TimeLeft", "print_json", "print_result", "print_rows", "print_table", "say", "working"]


@contextmanager
def working(*, as_json: bool = False) -> Generator[Progress]:
    """Show progress bars on stderr, keep libraries quiet, and give stdout back at the end."""
    console = Console(stderr=True)
    own = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    hidden = as_json or not console.is_terminal
    bars = Bars(*own, TimeLeft(), console=console, disable=hidden)
    tasks: dict[str, Any] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, first=done, since=time.monotonic())
        bars.update(tasks[stage], completed=done, total=total, last=time.monotonic())

    from holdfast.training.quiet import quiet  # noqa: PLC0415  # Heavy: only when a command runs.

    with redirect_stdout(sys.stderr), warnings.catch_warnings(), bars:
        quiet()
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
        return Text(f"about {_spelled(max(0.0, left - (time.monotonic() - told['last'])))} left")


def _spelled(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def say(line: str) -> None:
    """Write one line for the user to stderr, with flags for the fields that it quotes."""
    sys.stderr.write(f"{with_flags(line)}\n")


def print_json(value: Any) -> None:
    """Write one JSON object to stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def print_result(result: Any) -> None:
    """Write the report's own table of a ``RunResult`` to stdout, where anything was measured."""
    from holdfast.report.terminal import render_table  # noqa: PLC0415  # Heavy.

    if any(arm.figures for arm in result.arms):
        print_table(render_table(result))


def print_table(value: Any) -> None:
    """Write anything that rich can draw to stdout."""
    Console(file=sys.stdout).print(value)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as a table to stdout; shares have three digits."""
    table = Table(title=title)
    for number, key in enumerate(rows[0] if rows else ()):
        # The first column holds names to be copied: it is never cut short.
        table.add_column(key.replace("_", " "), no_wrap=number == 0)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    print_table(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
