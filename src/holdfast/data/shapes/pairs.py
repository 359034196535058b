"""Pairs of a prompt and an answer in two columns, under the names that public data sets have."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.conversation import conversation, unpacked
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.protocol import Shape, column_in, columns_in
from holdfast.data.shapes.texts import is_blank, text_of
from holdfast.errors import DataError

__all__ = ["ALPACA", "BESIDE", "PAIRS", "PROMPT_COMPLETION", "beside", "pair"]

PAIRS = (
    ("prompt", "completion"),
    ("question", "answer"), ("goal", "target"),  # GSM8K's names; AdvBench's names.
    ("prompt", "response"), ("prompt", "answer"), ("prompt", "output"),
    ("question", "response"), ("query", "response"), ("query", "answer"),
    ("problem", "solution"), ("input", "output"), ("inputs", "targets"),
)  # fmt: skip
INSTRUCTED = ("output", "response", "completion", "answer")
"""Answers of an ``instruction``: Alpaca's name, Dolly's name, others."""
BESIDE = {"instruction": ("input", "context")}
"""Columns that belong to a prompt's column of this name, as Alpaca and Dolly have them."""


def pair(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    """Return the messages of a prompt (text or messages) and of its answer, if it is asked for.

    Raises:
        DataError: One is no text, or no messages, or is empty.
    """
    row = unpacked(row, columns)
    prompt = _prompt(row, columns["prompt"])
    return [*prompt, *_answer(row, columns["completion"])] if "completion" in columns else prompt


def beside(values: Mapping[str, Any], prompt: str) -> list[str]:
    """Return the columns of a row that belong to its prompt, which has a column of this name."""
    names = BESIDE.get(prompt.casefold(), ())
    return [column for name in names if (column := column_in(values, name)) is not None]


def _prompt(row: RawRow, column: str) -> list[Message]:
    value = row.values[column]
    if isinstance(value, list):
        messages = conversation(row, column)
        # Without its answer a prompt of messages may end with whatever it is cut at.
        if messages[-1]["role"] not in ("user", "tool"):
            raise DataError(f"{row.place}: {column!r} has no user message right before the answer")
        return messages
    # A number beside it is an error, and not left out.
    more = [name for name in beside(row.values, column) if not is_blank(row.values[name])]
    texts = [text_of(row.values[name], row, name) for name in (column, *more)]
    return [{"role": "user", "content": "\n\n".join(texts)}]


def _answer(row: RawRow, column: str) -> list[Message]:
    value = row.values[column]
    if not isinstance(value, list):
        return [{"role": "assistant", "content": text_of(value, row, column)}]
    messages = conversation(row, column)
    roles = [message["role"] for message in messages]
    if roles != ["assistant"]:
        said = f"must be one message of the role 'assistant', has {', '.join(map(repr, roles))}"
        raise DataError(f"{row.place}: {column!r} {said}")
    return messages


def _first(values: Mapping[str, Any], *names: tuple[str, str]) -> dict[str, str] | None:
    found = (columns_in(values, prompt=prompt, completion=answer) for prompt, answer in names)
    return next((each for each in found if each is not None), None)


def _of_pairs(values: Mapping[str, Any]) -> dict[str, str] | None:
    return _first(values, *PAIRS)


def _of_alpaca(values: Mapping[str, Any]) -> dict[str, str] | None:
    return _first(values, *(("instruction", answer) for answer in INSTRUCTED))


ALPACA = Shape(
    "alpaca", "an instruction, what belongs to it, and its answer", _of_alpaca, pair
)  # fmt: skip
PROMPT_COMPLETION = Shape("pairs", "a prompt and its answer", _of_pairs, pair)
