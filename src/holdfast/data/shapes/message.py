"""One message of a conversation, checked and in one form, whoever wrote it.

A message is ``{"role": ..., "content": ...}`` with a role of ``ROLES``, and where it has them
``reasoning_content``, ``tool_calls``, ``tool_call_id``, ``name`` and ``weight`` (0: no loss).
"""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.texts import is_blank, kind_of, missing_text, text_of, whole
from holdfast.data.shapes.tools import calls_of
from holdfast.errors import DataError, nearest

__all__ = ["READ", "ROLES", "Message", "messages_in"]

ROLES = ("system", "user", "assistant", "tool")
_SAME = {"developer": "system", "function": "tool", "ipython": "tool"}
"""Newer and older names of a role."""
_CALLS = ("tool_calls", "function_call")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_NAMES = ("tool_call_id", "name")
READ = frozenset({"role", "content", "weight", *_CALLS, *_REASONING, *_NAMES})
"""Fields of a message that are read."""

Message = dict[str, Any]


def messages_in(value: Any, name: str, row: RawRow) -> list[Message]:
    """Return the messages of a value that is called ``name``.

    Raises:
        DataError: It is no list of messages.
    """
    if not isinstance(value, list):
        wanted = 'expected a list of {"role": ..., "content": ...}'
        raise DataError(f"{row.place}: {name} is {kind_of(value)}: {wanted}")
    if not value:
        raise DataError(f"{row.place}: {name} is an empty list: give at least one message")
    return [_message(item, f"message {n} of {name}", row) for n, item in enumerate(value, 1)]


def _message(item: Any, name: str, row: RawRow) -> Message:
    if (
        not isinstance(item, Mapping)
        or "role" not in item
        or not item.keys() & {"content", *_CALLS}
    ):
        raise DataError(f'{row.place}: {name} must be {{"role": ..., "content": ...}}')
    role = _role(item["role"], name, row)
    found: Message = {"role": role}
    calls = [call for field in _CALLS for call in _called(item.get(field), role, name, row)]
    reasoning = _reasoning(item, name, row) if role == "assistant" else None
    # A call needs no words beside it, and a tool may return nothing.
    bare = bool(calls) or role == "tool"
    found["content"] = _content(item.get("content"), f"content of {name}", row, empty=bare)
    if reasoning:
        found["reasoning_content"] = reasoning
    if calls:
        found["tool_calls"] = calls
    for field in _NAMES:
        if not is_blank(item.get(field)):
            found[field] = text_of(item[field], row, f"{field} of {name}")
    if role == "assistant" and not _counts(item.get("weight"), name, row):
        found["weight"] = 0
    return found


def _role(role: Any, name: str, row: RawRow) -> str:
    found = _SAME.get(role, role) if isinstance(role, str) else role
    if found not in ROLES:
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        wanted = f"expected {', '.join(ROLES)}.{hint}"
        raise DataError(f"{row.place}: {name} has the role {repr(role)[:40]}, {wanted}")
    return str(found)


def _called(value: Any, role: str, name: str, row: RawRow) -> list[dict[str, Any]]:
    if is_blank(value):
        return []
    if role != "assistant":
        said = f"is from {role!r} and calls a tool: only the assistant does"
        raise DataError(f"{row.place}: {name} {said}")
    return calls_of(value, row, name)


def _reasoning(item: Mapping[str, Any], name: str, row: RawRow) -> str | None:
    given = [field for field in _REASONING if not is_blank(item.get(field))]
    texts = {text_of(item[field], row, f"{field} of {name}") for field in given}
    if len(texts) > 1:
        said = f"has {' and '.join(given)}, which differ: keep one"
        raise DataError(f"{row.place}: {name} {said}")
    return texts.pop() if texts else None


def _content(value: Any, name: str, row: RawRow, *, empty: bool) -> str:
    if isinstance(value, list):
        value = "".join(_part(part, name, row) for part in value)
    if empty and is_blank(value):
        return value if isinstance(value, str) else ""
    if value == "":
        raise missing_text(row, name)
    return text_of(value, row, name)


def _part(part: Any, name: str, row: RawRow) -> str:
    """Return the text of one part; templates write such parts one right behind the other."""
    kind = part.get("type", "text") if isinstance(part, Mapping) else None
    if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        return whole(part["text"], row, name)
    if isinstance(kind, str) and kind != "text":
        said = (
            f"has a part of the type {kind[:40]!r}: only text is read: remove the part or the row"
        )
        raise DataError(f"{row.place}: {name} {said}")
    raise DataError(f'{row.place}: {name}: each part must be {{"type": "text", "text": ...}}')


def _counts(weight: Any, name: str, row: RawRow) -> bool:
    """Tell whether a message's weight is 1; OpenAI's files have 0 and 1."""
    if weight is None:
        return True
    if not isinstance(weight, int | float) or weight not in (0, 1):
        said = f"has weight={repr(weight)[:20]}: expected the number 0 (no loss) or 1"
        raise DataError(f"{row.place}: {name} {said}")
    return bool(weight)
