"""From a raw row to the one Example form: ``{"prompt": [...], "completion": [...]}`` of messages.

A row is read in the first form that fits: the caller's column mapping, ``messages``,
``prompt`` + ``completion``, or a pair of column names that public data sets use (``PAIRS``).
"""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats import RawRow
from holdfast.errors import ConfigError, DataError, nearest

__all__ = ["EXTRA", "PAIRS", "ROLES", "check_mapping", "columns_of", "read_columns", "to_example"]

ROLES = ("system", "user", "assistant")
EXTRA = ("id", "category", "reference")  # Columns that pass through, as strings.
PAIRS = (
    ("question", "answer"), ("goal", "target"),  # GSM8K's names; AdvBench's names.
    ("instruction", "output"), ("instruction", "response"),  # Alpaca's names; Dolly's names.
)  # fmt: skip
BESIDE = {"instruction": ("input", "context")}
"""Columns that belong to a prompt's column of this name, as Alpaca and Dolly have them."""
SYSTEM = ("system", "system_prompt")
"""Columns that hold the system message of a row."""
_TARGETS = ("prompt", "completion", "messages", *EXTRA)

Messages = list[dict[str, str]]


def check_mapping(columns: Mapping[str, str] | None, source: str) -> None:
    """Raise ``ConfigError`` unless ``columns`` maps names of ours to names of the file."""
    for name in columns or {}:
        if name not in _TARGETS:
            raise ConfigError(
                f"`columns` of {source}: unknown target {name!r}, expected {', '.join(_TARGETS)}."
                f"{nearest(name, _TARGETS)} Write prompt=NAME,completion=NAME"
            )
    if columns and "messages" not in columns and not {"prompt", "completion"} <= set(columns):
        raise ConfigError(
            f"`columns` of {source}: give messages=NAME, or both prompt=NAME and completion=NAME"
        )


def columns_of(row: RawRow, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Return which column of ``row`` holds what: ``{"prompt": name, "completion": name, ...}``.

    Raises:
        DataError: The row has no set of columns that is known; names the nearest.
    """
    extra = {name: name for name in EXTRA if name in row.values}
    if columns:
        return extra | dict(columns)
    if "messages" in row.values:
        return extra | {"messages": "messages"}
    for prompt, completion in (("prompt", "completion"), *PAIRS):
        if {prompt, completion} <= row.values.keys():
            return extra | {"prompt": prompt, "completion": completion}
    raise _missing(row, "prompt" if "completion" in row.values else "completion")


def to_example(row: RawRow, columns: Mapping[str, str]) -> dict[str, Any]:
    """Convert one row; ``columns`` comes from ``columns_of`` for the file's first row.

    Returns:
        ``prompt`` (messages, the last one the user's), ``completion`` (one assistant message),
        ``row`` (its number) and, as strings or None, ``id``, ``category`` and ``reference``.

    Raises:
        DataError: A column is missing, of a wrong type or empty, or a role is invalid.
    """
    if "messages" in columns:
        prompt, completion = _split(_messages(row, columns["messages"]), row, columns["messages"])
    else:
        prompt = _prompt(row, columns["prompt"])
        completion = _completion(row, columns["completion"])
    prompt = _with_system(prompt, row, columns)
    extra = {name: _text_or_none(row, columns.get(name)) for name in EXTRA}
    return {"prompt": prompt, "completion": completion, "row": row.number, **extra}


def read_columns(row: RawRow, columns: Mapping[str, str]) -> frozenset[str]:
    """Return the columns of ``row`` that ``to_example`` reads."""
    beside = BESIDE.get(columns.get("prompt", ""), ())
    return frozenset({*columns.values(), *beside, *SYSTEM, *EXTRA}) & row.values.keys()


def _with_system(prompt: Messages, row: RawRow, columns: Mapping[str, str]) -> Messages:
    """Return the prompt with the system message that stands in a column of its own."""
    for column in SYSTEM:
        value = row.values.get(column)
        if column in columns.values() or _blank(value):
            continue
        value = _text(value, row, column)
        first = prompt[0]
        if first["role"] != "system":
            return [{"role": "system", "content": value}, *prompt]
        if first["content"].strip() != value.strip():
            said = f"has a system message in the prompt and another in {column!r}"
            raise DataError(f"{row.place}: {said}: keep one")
    return prompt


def _value(row: RawRow, column: str) -> Any:
    if column not in row.values:
        raise _missing(row, column)
    return row.values[column]


def _missing(row: RawRow, column: str) -> DataError:
    found = ", ".join(repr(name) for name in row.values) or "none"
    return DataError(
        f"{row.place}: column {column!r} is missing (columns found: {found})."
        f"{nearest(column, row.values)} Rename it or map it with "
        "`columns=prompt=NAME,completion=NAME`"
    )


def _split(messages: Messages, row: RawRow, column: str) -> tuple[Messages, Messages]:
    """Split a conversation into all but the last message and the last, the answer."""
    if messages[-1]["role"] != "assistant":
        raise DataError(
            f"{row.place}: the last message of {column!r} is from {messages[-1]['role']!r}: "
            "end the conversation with the assistant's answer"
        )
    _require_user_last(messages[:-1], row, column)
    return messages[:-1], messages[-1:]


def _prompt(row: RawRow, column: str) -> Messages:
    value = _value(row, column)
    if isinstance(value, list):
        messages = _messages(row, column)
        _require_user_last(messages, row, column)
        return messages
    texts = [_text(value, row, column), *_beside(row, column)]
    return [{"role": "user", "content": "\n\n".join(texts)}]


def _beside(row: RawRow, column: str) -> list[str]:
    """Return the texts that belong to a prompt; a number there is an error, and not left out."""
    given = {name: row.values.get(name) for name in BESIDE.get(column, ())}
    return [_text(value, row, name) for name, value in given.items() if not _blank(value)]


def _blank(value: Any) -> bool:
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def _completion(row: RawRow, column: str) -> Messages:
    value = _value(row, column)
    if not isinstance(value, list):
        return [{"role": "assistant", "content": _text(value, row, column)}]
    messages = _messages(row, column)
    roles = [message["role"] for message in messages]
    if roles != ["assistant"]:
        said = f"must be one message of the role 'assistant', has {', '.join(map(repr, roles))}"
        raise DataError(f"{row.place}: {column!r} {said}")
    return messages


def _require_user_last(messages: Messages, row: RawRow, column: str) -> None:
    if not messages or messages[-1]["role"] != "user":
        raise DataError(f"{row.place}: {column!r} has no user message right before the answer")


def _messages(row: RawRow, column: str) -> Messages:
    value = _value(row, column)
    if not isinstance(value, list):
        wanted = 'expected a list of {"role": ..., "content": ...}'
        raise DataError(f"{row.place}: {column!r} is {_type(value)}: {wanted}")
    if not value:
        raise DataError(f"{row.place}: {column!r} is an empty list: give at least one message")
    return [_message(item, f"message {n} of {column!r}", row) for n, item in enumerate(value, 1)]


def _message(item: Any, name: str, row: RawRow) -> dict[str, str]:
    if not isinstance(item, Mapping) or not {"role", "content"} <= item.keys():
        raise DataError(f'{row.place}: {name} must be {{"role": ..., "content": ...}}')
    role = item["role"]
    if role not in ROLES:
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        wanted = f"expected {', '.join(ROLES)}.{hint}"
        raise DataError(f"{row.place}: {name} has the role {repr(role)[:40]}, {wanted}")
    return {"role": str(role), "content": _text(item["content"], row, f"content of {name}")}


def _text(value: Any, row: RawRow, column: str) -> str:
    name = column if " " in column else repr(column)
    if not isinstance(value, str):
        raise DataError(f"{row.place}: {name} is {_type(value)}: expected text")
    if not value.strip():
        raise DataError(f"{row.place}: {name} is empty: fill it in or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        said = f"half of a surrogate pair (character {error.start + 1}): write the character whole"
        raise DataError(f"{row.place}: {name} has {said}") from error
    return value


def _text_or_none(row: RawRow, column: str | None) -> str | None:
    value = row.values.get(column) if column else None
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return text.encode(errors="replace").decode()


def _type(value: object) -> str:
    names: dict[type, str] = {
        type(None): "null", bool: "a boolean", int: "a number", float: "a number",
        str: "text", list: "a list", dict: "an object",
    }  # fmt: skip
    return names.get(type(value), type(value).__name__)
