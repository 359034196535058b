"""From a row's messages to the one Example form, which training and evaluation read.

An Example is ``{"prompt": [...], "completion": [...], "rich": ..., "row": n, ...}``:

``prompt``, ``completion``
    Messages of ``role`` and ``content`` alone: all but the last one, and the last, the assistant's.
``rich``
    None where these say all there is: a conversation of several turns included. Else, where a
    message has more than role and content, or tools stand beside it, the whole conversation as JSON
    text: ``{"messages": [...], "tools": [...] or null}``. Each message has ``role`` and ``content``
    (text; empty beside a call), and where it has them ``reasoning_content`` (text), ``tool_calls``
    (``{"type": "function", "function": {"name": ..., "arguments": {...}}}``, perhaps ``id``),
    ``tool_call_id``, ``name`` and ``weight`` (always 0: no loss on this turn).
"""

import json
from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.reader import EXTRA, SYSTEM
from holdfast.data.shapes.texts import column_in, is_blank, kind_of, text_of, whole
from holdfast.data.shapes.tools import tools_of
from holdfast.errors import ConfigError, DataError, nearest

__all__ = ["TARGETS", "check_mapping", "plain", "to_example", "with_system"]

TARGETS = ("prompt", "completion", "messages", *EXTRA)
"""What a column can be said to hold."""


def check_mapping(columns: Mapping[str, str] | None, source: str) -> None:
    """Raise ``ConfigError`` unless ``columns`` maps names of ours to names of the file."""
    for name in columns or {}:
        if name not in TARGETS:
            raise ConfigError(
                f"`columns` of {source}: unknown target {name!r}, expected {', '.join(TARGETS)}."
                f"{nearest(name, TARGETS)} Write prompt=NAME,completion=NAME"
            )
    if columns and "messages" not in columns and not {"prompt", "completion"} <= set(columns):
        raise ConfigError(
            f"`columns` of {source}: give messages=NAME, or both prompt=NAME and completion=NAME"
        )
    both = [name for name in ("prompt", "completion") if name in (columns or {})]
    if columns and "messages" in columns and both:
        said = f"messages={columns['messages']} holds the answer too: leave {both[0]} out"
        raise ConfigError(f"`columns` of {source}: {said}")
    if columns and len(both) == 2 and columns["prompt"] == columns["completion"]:
        said = f"{columns['prompt']!r} cannot be the prompt and its answer: give two columns"
        raise ConfigError(f"`columns` of {source}: {said}")


def to_example(row: RawRow, messages: list[Message], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the Example of a row that holds these messages; ``columns`` says what is where.

    Raises:
        DataError: The conversation does not end with an answer to somebody, all its answers have
            the weight 0, or its system message, its tools or its reference cannot be used.
    """
    where = columns.get("messages", columns.get("completion", "messages"))
    _require_answer(messages, row, where)
    messages = with_system(messages, row, columns)
    beside = {name: columns.get(name) or column_in(row.values, name) or name for name in EXTRA}
    extra = {name: _text_or_none(row, column) for name, column in beside.items()}
    extra["reference"] = _one_answer(row, beside["reference"], given="reference" in columns)
    return {
        "prompt": plain(messages[:-1]),
        "completion": plain(messages[-1:]),
        "rich": _rich(messages, row),
        "row": row.number,
        **extra,
    }


def plain(messages: list[Message]) -> list[Message]:
    """Return the messages with their roles and contents alone."""
    return [{"role": each["role"], "content": each["content"]} for each in messages]


def with_system(messages: list[Message], row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    """Return the messages with the system message that stands in a column of its own.

    Raises:
        DataError: There are two, which differ.
    """
    for column in (column_in(row.values, name) for name in SYSTEM):
        value = None if column is None else row.values[column]
        if column is None or column in columns.values() or is_blank(value):
            continue
        value = text_of(value, row, column)
        first = messages[0]
        if first["role"] != "system":
            return [{"role": "system", "content": value}, *messages]
        if first["content"].strip() != value.strip():
            said = f"has a system message in the prompt and another in {column!r}"
            raise DataError(f"{row.place}: {said}: keep one")
    return messages


def _require_answer(messages: list[Message], row: RawRow, column: str) -> None:
    if messages[-1]["role"] != "assistant":
        raise DataError(
            f"{row.place}: the last message of {column!r} is from {messages[-1]['role']!r}: "
            "end the conversation with the assistant's answer"
        )
    if len(messages) == 1 or messages[-2]["role"] not in ("user", "tool"):
        raise DataError(f"{row.place}: {column!r} has no user message right before the answer")
    if all(each.get("weight") == 0 for each in messages if each["role"] == "assistant"):
        raise DataError(
            f"{row.place}: every answer has the weight 0 and nothing is learned: remove the row"
        )


def _rich(messages: list[Message], row: RawRow) -> str | None:
    tools = tools_of(row)
    if tools is None and all(each.keys() == {"role", "content"} for each in messages):
        return None
    text = json.dumps({"messages": messages, "tools": tools}, ensure_ascii=False)
    return whole(text, row, "a call or a tool")


def _one_answer(row: RawRow, column: str, *, given: bool) -> str | None:
    """Return the right answer where a column holds one; a list of them is read by nobody."""
    value = row.values.get(column)
    if isinstance(value, list | dict):
        if given and value:
            said = f"{column!r} is {kind_of(value)}: expected text, the one right answer"
            raise DataError(f"{row.place}: {said}")
        return None
    return None if is_blank(value) or value != value else _text_or_none(row, column)  # noqa: PLR0124  # NaN.


def _text_or_none(row: RawRow, column: str) -> str | None:
    value = row.values.get(column)
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return text.encode(errors="replace").decode()
