"""Answers that exist already, read from a file: question, answer, and what people called them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from holdfast.data.columns import with_columns
from holdfast.data.formats import RawRow
from holdfast.data.rows import Rows
from holdfast.data.shapes.conversation import conversation, unpacked
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.pairs import beside
from holdfast.data.shapes.protocol import column_in
from holdfast.data.shapes.texts import few, is_blank, whole
from holdfast.errors import ConfigError, DataError, nearest
from holdfast.inputs.answered.labels import HARM, Labels

__all__ = ["JudgedRow", "rows_to_judge"]

_NAMES: dict[str, Sequence[str]] = {
    "prompt": ("prompt", "question", "goal", "instruction", "query", "behavior", "problem"),
    "answer": ("answer", "completion", "response", "output", "generation", "target", "solution"),
    "label": ("label", "final_label"),
}
"""What columns are called in public files, the first that is there counts."""
_TALKS = ("messages", "conversations", "conversation", "dialogue", "dialog")
"""Columns of whole conversations, whose last turn is the answer where no column holds one."""


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
        DataError: The file cannot be read, a column is missing, a value is no text, a label is
            none that is known, or labels are of both kinds; names the row.
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
    read = _Reader(given, labels, by)
    rows = [read.row(raw) for raw in islice(Rows(source, None).raw(), limit)]
    if not rows:
        raise DataError(f"{source}: has no rows: expected at least one answer")
    _check_kind(rows, source)
    return rows


def _check_kind(rows: Sequence[JudgedRow], source: str) -> None:
    """Refuse labels of harm beside labels of refusals: a judge's word is compared with one kind."""
    first = {row.label in HARM: row for row in reversed(rows) if row.label}
    if len(first) > 1:
        harm, refusal = first[True], first[False]
        raise DataError(
            f"{source}: the label of row {harm.number} says whether an answer does harm "
            f"({harm.label}), and that of row {refusal.number} whether it refuses "
            f"({refusal.label}): keep labels of one kind, or say what they mean with `labels`"
        )


class _Reader:
    """Reads rows; what the columns of a file are is found in its first row, and holds for all."""

    def __init__(self, given: Mapping[str, str], labels: Labels, by: str | None) -> None:
        self._given, self._labels, self._by = given, labels, by
        self._file, self._found = "", dict[str, str]()

    def row(self, raw: RawRow) -> JudgedRow:
        """Return one row.

        Raises:
            DataError: A column is missing, or holds what it should not.
        """
        file = raw.place.rpartition(", row ")[0]
        if file != self._file:
            self._file, self._found = file, _asked_and_answered(raw, self._given)
        if missing := [name for name in self._found.values() if name not in raw.values]:
            raise _missing(raw, missing[0], "prompt" if missing[0] != "answer" else "answer")
        question, answer = _said(raw, self._found["prompt"], self._found.get("answer", ""))
        named = self._given.get("label") or _first(raw, _NAMES["label"])
        if named and named not in raw.values:
            raise _missing(raw, named, "label")
        label = _text(raw, named).strip() if named else ""
        return JudgedRow(
            raw.number, question, answer, self._labels.of(label, raw.place) if label else "",
            _text(raw, _grouping(raw, self._by)) if self._by else "",
        )  # fmt: skip


def _first(raw: RawRow, names: Sequence[str]) -> str:
    found = (column_in(raw.values, name) for name in names)
    return next((name for name in found if name is not None), "")


def _asked_and_answered(raw: RawRow, given: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of question and answer; of a conversation its own alone."""
    talk, answer = _first(raw, _TALKS), given.get("answer") or _first(raw, _NAMES["answer"])
    prompt = given.get("prompt") or ("" if talk and not answer else _first(raw, _NAMES["prompt"]))
    prompt = prompt or talk
    if not prompt:
        raise _missing(raw, "prompt", "prompt")
    if not answer and not talk and isinstance(raw.values.get(prompt), str):
        raise _missing(raw, "answer", "answer")
    return {"prompt": prompt, **({"answer": answer} if answer else {})}


def _missing(raw: RawRow, column: str, kind: str) -> DataError:
    return DataError(
        f"{raw.place}: column {column!r} is missing (columns found: "
        f"{few(map(repr, raw.values))}): name it with `columns={kind}=NAME`"
    )


def _grouping(raw: RawRow, by: str) -> str:
    if by not in raw.values:
        columns = ", ".join(map(repr, raw.values))
        raise DataError(f"{raw.place}: `by={by}` is none of its columns: {columns}")
    return by


def _said(raw: RawRow, prompt: str, answer: str) -> tuple[str, str]:
    """Return question and answer; of a conversation without a column of answers its last turn."""
    raw = unpacked(raw, {"prompt": prompt} if answer else {})
    asked: Any = raw.values[prompt]
    if isinstance(asked, str) and prompt.casefold() not in _TALKS:
        if not answer:
            raise DataError(f"{raw.place}: has no column of answers: give `columns=answer=NAME`")
        more = [_text(raw, name) for name in beside(raw.values, prompt)]
        texts = (whole(asked, raw, prompt), *more)
        return "\n\n".join(text for text in texts if text.strip()), _text(raw, answer)
    turns, empty = _turns(raw, prompt)
    users = [turn["content"] for turn in turns if turn["role"] == "user"]
    if not users:
        raise DataError(f"{raw.place}: {prompt} is neither text nor messages with a user's turn")
    if answer:
        return users[-1], _text(raw, answer)
    if empty:
        return users[-1], ""
    if turns[-1]["role"] != "assistant":
        raise DataError(f"{raw.place}: {prompt} does not end with an assistant's answer")
    return users[-1], turns[-1]["content"]


def _turns(raw: RawRow, column: str) -> tuple[list[Message], bool]:
    """Return the messages of a column, and whether an answer without words stood behind them."""
    value: Any = raw.values[column]
    if not isinstance(value, list | str):
        return [], False
    last: Any = value[-1] if isinstance(value, list) and len(value) > 1 else None
    if isinstance(last, Mapping) and _is_empty(last):
        # Data to learn must not hold it; here it is an outcome.
        return conversation(replace(raw, values={**raw.values, column: value[:-1]}), column), True
    return conversation(raw, column), False


def _is_empty(turn: Mapping[str, Any]) -> bool:
    speaker = str(turn.get("role", turn.get("from"))).casefold()
    said = turn.get("content", turn.get("value"))
    return speaker not in ("user", "human", "system", "tool") and is_blank(said)


def _text(raw: RawRow, name: str) -> str:
    """Return a value as text; none is an empty one."""
    value: Any = raw.values[name]
    if isinstance(value, list | dict):
        raise DataError(f"{raw.place}: {name} is a {type(value).__name__}, expected text")
    # NaN is what tables write for what is not there.
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else whole(str(value), raw, name)
