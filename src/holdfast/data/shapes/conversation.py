"""A conversation in one column: messages by role and content, or by from and value as ShareGPT."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.message import ROLES, Message, messages_in
from holdfast.data.shapes.texts import parsed
from holdfast.errors import DataError, nearest

__all__ = ["FIELDS", "conversation", "unpacked"]

_SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant",
    "bot": "assistant", "chatbot": "assistant", "system": "system", "tool": "tool",
    "observation": "tool", "function_response": "tool", "function": "tool",
    "function_call": "assistant", "tool_call": "assistant",
}  # fmt: skip
_CALL = ("function_call", "tool_call")
"""Speakers whose words are a call of a tool, as JSON."""
FIELDS = frozenset({"from", "value"})
"""Fields of a message that only this shape has."""


_WANTED = 'a list of {"from": ..., "value": ...}'
_LISTED = re.compile(
    r"""\s*\[\s*\{\s*(["'])(?:role|content|from|value)\1\s*:.*\}\s*\]\s*""", re.DOTALL
)
"""A text that is a list of messages, as tables hold it: in JSON, or as Python prints it."""
_LAST = {"prompt": ("user", "tool"), "completion": ("assistant",)}
"""Who speaks last in a prompt, and in an answer; any other list in a text is but a text."""


def conversation(row: RawRow, column: str) -> list[Message]:
    """Return the messages of a column: a list, or a list as JSON in a text, as tables have it.

    Raises:
        DataError: It is no list of messages, or a speaker is unknown.
    """
    value = row.values[column]
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value, row, repr(column), _WANTED)
    if isinstance(value, list):
        value = [_plain(item, f"message {n} of {column!r}", row) for n, item in enumerate(value, 1)]
    return messages_in(value, repr(column), row)


def unpacked(row: RawRow, columns: Mapping[str, str]) -> RawRow:
    """Return the row with lists of messages where a prompt or an answer is one as JSON in a text.

    Raises:
        DataError: It is one as Python prints it.
    """
    texts = {column: row.values.get(column) for what, column in columns.items() if what in _LAST}
    found = {
        column: parsed(value, row, repr(column), _WANTED)
        for column, value in texts.items()
        if isinstance(value, str) and _LISTED.fullmatch(value)
    }
    lists = {
        columns[what]: found[columns[what]]
        for what, last in _LAST.items()
        if columns.get(what) in found and _speaker(found[columns[what]][-1]) in last
    }
    return replace(row, values={**row.values, **lists}) if lists else row


def _speaker(message: Any) -> str | None:
    named = message.get("role", message.get("from")) if isinstance(message, Mapping) else None
    return _SPEAKERS.get(str(named).casefold())


def _plain(item: Any, name: str, row: RawRow) -> Any:
    """Return a message by ``from`` and ``value`` as one by ``role`` and ``content``."""
    if not isinstance(item, Mapping) or "from" not in item or "role" in item:
        return item
    rest = {key: value for key, value in item.items() if key not in FIELDS}
    role = _SPEAKERS.get(str(item["from"]).casefold())
    if role is None:
        known = ", ".join(("human", "gpt", *ROLES))
        hint = nearest(str(item["from"]), _SPEAKERS)
        said = f"is from {repr(item['from'])[:40]}, expected {known}.{hint}"
        raise DataError(f"{row.place}: {name} {said}")
    if str(item["from"]).casefold() in _CALL:
        return {**rest, "role": role, "tool_calls": item.get("value")}
    return {**rest, "role": role, "content": item.get("value")}
