"""What ``holdfast screen`` prints, for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from holdfast.cli.shell.flags import with_flags
from holdfast.report.screening.words import (
    NEVER,
    by_check,
    head,
    listed,
    set_risk,
    suggested,
    to_know,
    untold,
)
from holdfast.results.screening.file import ScreenFile

__all__ = ["shown"]

BLANK = "\0"
"""A blank at which no line is broken."""
WIDTH = 78
LABEL = 15


def shown(file: ScreenFile, top: int, output: Path | None = None) -> Iterator[str]:
    """Yield the lines of a screening whose files lie in ``output``."""
    yield head(file)
    yield ""
    for n, line in enumerate(set_risk(file)):
        yield from _hung("" if n else "set risk", line)
    checks = by_check(file)
    for name, rows, why in checks:
        count = f"{rows:,} {'row' if rows == 1 else 'rows'}" if rows else "the set"
        yield from _hung(name, f"{count}: {why}")
    if checks:
        yield ""
    yield from _list(file, top)
    for line in to_know(file):
        yield from _hung("to know", line)
    if file.sampled:
        yield from _hung("to know", "a sample: other rows were not looked at")
    if missing := untold(file):
        yield from _hung("not looked at", with_flags(missing))
    yield ""
    for n, line in enumerate(suggested(file)):
        told = with_flags(line).replace("`screen=FILE`", _applied(output))
        yield from _hung("suggested" if n == 0 else "", told)
    yield from textwrap.wrap(NEVER, WIDTH)


def _list(file: ScreenFile, top: int) -> Iterator[str]:
    rows = listed(file, top)
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row.percentiles))
    scores = "".join(f"{name:>7}" for name in names)
    yield f"{'row':>6}{scores}  {'do':8}why"
    indent = " " * (6 + len(scores) + 2)
    for row in rows:
        values = "".join(f"{_percentile(row.percentiles.get(name)):>7}" for name in names)
        wrapped = textwrap.wrap(row.why, max(WIDTH - len(indent) - 8, 20))
        yield f"{row.row:>6}{values}  {row.do:8}{wrapped[0]}"
        yield from (f"{indent}{'':8}{line}" for line in wrapped[1:])
        for text in row.texts:
            yield from (f"{indent}  | {line}" for line in _cut(text, WIDTH - len(indent) - 4))
    every = sum(each.action != "keep" for each in file.screened)
    if every > len(rows):
        yield f"{'':8}and {every - len(rows):,} more (--top, or screen.csv in --output)"
    yield ""


def _percentile(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _cut(text: str, width: int) -> list[str]:
    """Return the first lines of what was found in a row."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, max(width, 20))]
    return lines[:4]


def _applied(output: Path | None) -> str:
    """Return the flag by which a run takes what was found, as a shell takes it."""
    if output is None:
        return "--screen FILE (the screen.json that --output DIR writes)"
    return f"--screen {quote(str(output / 'screen.json')).replace(' ', BLANK)}"


def _hung(label: str, text: str) -> Iterator[str]:
    # What is to be typed stays whole: a path is neither broken nor wrapped at its blanks.
    lines = textwrap.wrap(
        " ".join(text.split()), WIDTH - LABEL, break_long_words=False, break_on_hyphens=False
    )
    for n, line in enumerate(lines):
        yield f"{label if n == 0 else '':{LABEL}}{line.replace(BLANK, ' ')}"
