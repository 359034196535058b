"""Answers that exist already, read from a file: question, answer, and what people called them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from holdfast.data.columns import with_columns
from holdfast.data.formats import RawRow
from holdfast.data.rows import Rows
from holdfast.errors import ConfigError, DataError, nearest
from holdfast.inputs.answered.labels import Labels

__all__ = ["JudgedRow", "rows_to_judge"]

_NAMES: dict[str, Sequence[str]] = {
    "prompt": ("prompt", "question", "goal", "instruction", "messages"),
    "answer": ("answer", "completion", "response", "output", "generation", "target"),
    "label": ("label", "final_label"),
}
"""What columns are called in public files, the first that is there counts."""


@dataclass(frozen=True)
class JudgedRow:
    """One answer of a file."""

    number: int
    """Of its row, from 1."""
    question: str
    answer: str
    label: str = ""
    """What people called it, in our words; "" where the row has no label."""
    group: str = ""
    """What the column of ``by`` holds."""


def rows_to_judge(
    file: str,
    columns: Mapping[str, str] | None,
    labels: Labels,
    by: str | None,
    limit: int | None = None,
) -> list[JudgedRow]:
    """Read the answers of a file; an empty answer is one.

    Raises:
        DataError: The file cannot be read, a column is missing, a value is no text, or a label is
            none that is known; names the row.
        ConfigError: ``columns`` names what no row has.
    """
    source, own = with_columns(file)
    given = dict(own or columns or {})
    if unknown := sorted(set(given) - set(_NAMES)):
        close = nearest(unknown[0], _NAMES)
        raise ConfigError(
            f"`columns` of {source}: {unknown[0]} is none of {', '.join(_NAMES)}.{close}"
        )
    if limit is not None and limit < 1:
        raise ConfigError(f"`limit={limit}` is out of range, expected at least 1")
    rows = [_row(raw, given, labels, by) for raw in islice(Rows(source, None).raw(), limit)]
    if not rows:
        raise DataError(f"{source}: has no rows: expected at least one answer")
    return rows


def _row(raw: RawRow, given: Mapping[str, str], labels: Labels, by: str | None) -> JudgedRow:
    names = {kind: _column(raw, kind, given.get(kind)) for kind in _NAMES}
    question, answer = _said(raw, names["prompt"], names["answer"])
    label = _text(raw, names["label"]) if names["label"] else ""
    return JudgedRow(
        raw.number, question, answer, labels.of(label, raw.place) if label else "",
        _text(raw, _grouping(raw, by)) if by else "",
    )  # fmt: skip


def _column(raw: RawRow, kind: str, given: str | None) -> str:
    """Return the column of a kind; "" where the row may do without it."""
    found = given or next((name for name in _NAMES[kind] if name in raw.values), "")
    free = kind == "label" or (kind == "answer" and "messages" in raw.values)
    if (not found and not free) or (given and given not in raw.values):
        columns = ", ".join(map(repr, raw.values)) or "none"
        raise DataError(
            f"{raw.place}: column {given or kind!r} is missing (columns found: {columns}): name "
            f"it with `columns={kind}=NAME`"
        )
    return found


def _grouping(raw: RawRow, by: str) -> str:
    if by not in raw.values:
        columns = ", ".join(map(repr, raw.values))
        raise DataError(f"{raw.place}: `by={by}` is none of its columns: {columns}")
    return by


def _said(raw: RawRow, prompt: str, answer: str) -> tuple[str, str]:
    """Return question and answer; of a conversation without a column of answers its last turn."""
    asked: Any = raw.values[prompt]
    if isinstance(asked, str):
        if not answer:
            raise DataError(f"{raw.place}: has no column of answers: give `columns=answer=NAME`")
        return asked, _text(raw, answer)
    turns = [turn for turn in asked if isinstance(turn, Mapping)] if isinstance(asked, list) else []
    users = [str(turn.get("content")) for turn in turns if turn.get("role") == "user"]
    if not users:
        raise DataError(f"{raw.place}: {prompt} is neither text nor messages with a user's turn")
    if answer:
        return users[-1], _text(raw, answer)
    if turns[-1].get("role") != "assistant":
        raise DataError(f"{raw.place}: {prompt} does not end with an assistant's answer")
    return users[-1], str(turns[-1].get("content") or "")


def _text(raw: RawRow, name: str) -> str:
    """Return a value as text; none is an empty one."""
    value: Any = raw.values[name]
    if isinstance(value, list | dict):
        raise DataError(f"{raw.place}: {name} is a {type(value).__name__}, expected text")
    return "" if value is None else str(value)
