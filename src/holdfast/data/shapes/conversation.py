"""A conversation in one column: messages by role and content, or by from and value as ShareGPT."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.message import ROLES, Message, messages_in
from holdfast.data.shapes.texts import parsed
from holdfast.errors import DataError, nearest

__all__ = ["FIELDS", "conversation"]

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


def conversation(row: RawRow, column: str) -> list[Message]:
    """Return the messages of a column: a list, or a list as JSON in a text, as tables have it.

    Raises:
        DataError: It is no list of messages, or a speaker is unknown.
    """
    value = row.values[column]
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value, row, repr(column), 'a list of {"from": ..., "value": ...}')
    if isinstance(value, list):
        value = [_plain(item, f"message {n} of {column!r}", row) for n, item in enumerate(value, 1)]
    return messages_in(value, repr(column), row)


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
