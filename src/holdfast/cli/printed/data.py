"""What ``holdfast data`` prints, for a terminal of 80 columns."""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from holdfast.cli.shell.escaping import visible
from holdfast.cli.shell.flags import with_flags

__all__ = ["shown"]

WIDTH = 78
LABEL = 10
BAR = 40
HEAD, TAIL = 12, 6
"""Lines of a row that are shown at its beginning and at its end."""
FEW = 5
"""Rows that are named of many."""
_OPEN, _CLOSE = "«", "»"


def shown(found: Any) -> Iterator[str]:
    """Yield the lines of a ``DataView``."""
    yield from _top(found)
    yield from _lengths(found)
    yield from _problems(found)
    if found.model is not None:
        yield from _rows(found)


def _top(found: Any) -> Iterator[str]:
    yield from _field("file" if len(found.files) == 1 else "files", found.source)
    kinds = {(file.how, file.shape, file.says, _columns(file.columns)) for file in found.files}
    for how, shape, says, columns in sorted(kinds):
        of_kind = [f for f in found.files if (f.how, _columns(f.columns)) == (how, columns)]
        if len(found.files) > 1:
            yield from _field("", ", ".join(map(_numbered, of_kind[:FEW])) + _more(of_kind))
        yield from _field("format", how)
        yield from _field("shape", f"{shape}: {says}")
        yield from _field("columns", columns)
    kind = "with answers" if found.answered else "prompts without answers"
    yield from _field("rows", f"{found.rows:,} {kind}")
    for name, count in found.holds.items():
        yield from _field("", f"{count:,} with {name}")
    if not found.answered:
        yield from _field(
            "serves as", "questions and harmful or safe prompts, not as training data"
        )


def _numbered(file: Any) -> str:
    first, last = file.rows
    return f"{file.name.rpartition('/')[2]} (rows {first:,} to {last:,})"


def _more(items: Sequence[Any]) -> str:
    return f" and {len(items) - FEW:,} more" if len(items) > FEW else ""


def _columns(columns: Mapping[str, str]) -> str:
    same = [name for name, column in columns.items() if name == column]
    other = [f"{column} as {name}" for name, column in columns.items() if name != column]
    return ", ".join((*same, *other))


def _lengths(found: Any) -> Iterator[str]:
    rows = [(f"{name}, characters", each) for name, each in found.lengths.items()]
    if found.model is not None:
        names = {"row": "whole row, tokens", "trained": "trained, tokens"}
        rows += [(names[name], each) for name, each in found.model.lengths.items()]
    rows = [(name, each) for name, each in rows if each.values]
    if not rows:
        return
    heads = list(rows[0][1].told())
    yield ""
    yield f"{'Lengths':22}" + "".join(f"{head:>10}" for head in heads)
    for name, each in rows:
        yield f"  {name:20}" + "".join(f"{value:>10,}" for value in each.told().values())
    # What counts is the whole row in tokens; without a model the answer stands for it.
    title, counted = next((each for each in rows if each[0].startswith("whole")), rows[-1])
    yield ""
    yield from _histogram(f"Rows by length ({title})", counted)


def _histogram(title: str, lengths: Any) -> Iterator[str]:
    yield title
    bins = lengths.bins()
    most = max(count for *_, count in bins)
    for low, high, count in bins:
        bar = "#" * -(-BAR * count // most)
        span = f"{low:,} to {high:,}" if high > low else f"{low:,}"
        yield f"  {span:>18}  {bar:{BAR}} {count:,}".rstrip()


def _problems(found: Any) -> Iterator[str]:
    told = [*_bad(found.bad), *_notes(found), *map(str, found.findings)]
    if found.model is not None:
        told += [*map(str, found.model.findings), *found.model.notes]
    told += [line for each in found.overlaps for line in _overlap(each, found.rows)]
    yield ""
    yield "To know" if told else "To know: nothing unusual was found"
    for line in told:
        yield from _indented(_wrapped(" ".join(with_flags(line).splitlines())), "- ")


def _notes(found: Any) -> list[str]:
    """Return the notes but that on numbers, which stand with the files."""
    return [note for note in found.notes if not note.startswith("rows are numbered")]


def _bad(bad: Mapping[int, str]) -> Iterator[str]:
    if not bad:
        return
    yield f"rows that cannot be read, at which a run would stop: {len(bad):,}"
    yield from list(bad.values())[:FEW]


def _overlap(each: Any, of: int) -> Iterator[str]:
    if not each.same and not each.alike:
        yield f"no prompt of {each.name} ({each.of:,} prompts) stands in the file"
    if each.same:
        said = f"{len(each.same):,} of {of:,} rows ask what {each.name} asks too"
        yield f"{said} ({_numbers(each.same)})"
    if each.alike:
        said = f"{len(each.alike):,} of {of:,} rows share eight words in a row with a prompt of"
        yield f"{said} {each.name} ({_numbers(each.alike)})"


def _numbers(rows: Sequence[int]) -> str:
    named = ", ".join(map(str, rows[:FEW]))
    return f"{'row' if len(rows) == 1 else 'rows'} {named}{_more(rows)}"


def _rows(found: Any) -> Iterator[str]:
    for row in found.model.shown:
        yield ""
        yield f"Row {row.row}: {row.tokens:,} tokens, {row.trained:,} trained, {_OPEN}so{_CLOSE}"
        if not row.pieces:
            yield "  not shown: a safety set asks this too (--show-harmful shows it)"
            continue
        text = "".join(f"{_OPEN}{t}{_CLOSE}" if trained else t for t, trained in row.pieces)
        yield from _cut(
            [f"  {line}".rstrip() for part in text.split("\n") for line in _wrapped(part)]
        )


def _wrapped(text: str, width: int = WIDTH - 2) -> list[str]:
    """Return the lines of a text as a terminal shows them.

    Control characters are written out, and a letter may be two columns wide.
    """
    shown = visible(text)
    if shown.isascii():
        return textwrap.wrap(shown, width, replace_whitespace=False, drop_whitespace=False) or [""]
    lines = Text(shown).wrap(Console(width=width, file=io.StringIO()), width, tab_size=4)
    return [line.plain for line in lines] or [""]


def _indented(lines: Sequence[str], first: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{'  ' if number else first}{line.strip()}"


def _cut(lines: list[str]) -> Iterator[str]:
    """Yield the lines; of a long row the beginning and the end."""
    if len(lines) <= HEAD + TAIL + 1:
        yield from lines
        return
    yield from lines[:HEAD]
    yield f"  ... {len(lines) - HEAD - TAIL:,} lines more ..."
    yield from lines[-TAIL:]


def _field(label: str, text: str) -> Iterator[str]:
    for number, line in enumerate(_wrapped(text, WIDTH - LABEL)):
        yield f"{label if number == 0 else '':{LABEL}}{line.strip()}"
