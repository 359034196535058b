"""A whole conversation with all that its messages hold, as a row keeps it in its column ``rich``.

``rich`` is JSON: ``{"messages": [{role, content, reasoning_content?, tool_calls?, tool_call_id?,
name?, weight?}, ...], "tools": [...] or null}``. Rows without it have a prompt and one answer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from holdfast.errors import DataError

__all__ = ["Conversation", "Turns", "conversation_of", "spoken", "with_turns"]

Turns = Literal["all", "last"]
"""Which of the assistant's turns are trained."""
ASSISTANT = "assistant"
_RENDERED = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")


@dataclass(frozen=True)
class Conversation:
    """The messages as a chat template takes them, and which of them are learned."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] | None
    trained: tuple[int, ...]
    """Places in ``messages`` of the assistant's turns that the loss is on."""

    @property
    def only_last(self) -> bool:
        """Whether the last message is all that is learned."""
        return self.trained == (len(self.messages) - 1,)


def conversation_of(example: Mapping[str, Any], where: str) -> Conversation | None:
    """Return the conversation of a row, None where the row is one prompt and one answer.

    Args:
        example: An Example; its column ``rich`` is looked at.
        where: What an error calls it.

    Raises:
        DataError: A weight is neither 0 nor 1, or no turn is left to learn.
    """
    rich = example.get("rich")
    if rich is None:
        return None
    found = json.loads(rich)
    given: Sequence[Mapping[str, Any]] = found["messages"]
    trained = tuple(
        place
        for place, message in enumerate(given)
        if _weight(message, f"{where}: message {place + 1}") and message["role"] == ASSISTANT
    )
    if not trained:
        raise DataError(
            f"{where}: no turn of the assistant has a weight other than 0, or the last has it and "
            "`turns=last` asks for that one alone, so nothing would be learned: remove the row, or "
            "its weights"
        )
    tools = found.get("tools")
    return Conversation(
        tuple(_plain(message) for message in given), tuple(tools) if tools else None, trained
    )


def spoken(example: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what is only read of a row, and what is learned, as messages with a content."""
    rich = example.get("rich")
    if rich is None:
        return list(example["prompt"]), list(example["completion"])
    read: list[dict[str, Any]] = []
    learned: list[dict[str, Any]] = []
    for message in json.loads(rich)["messages"]:
        own = message["role"] == ASSISTANT and message.get("weight") != 0
        (learned if own else read).extend({"content": text} for text in _texts(message))
    return read, learned


def with_turns(example: Mapping[str, Any], turns: Turns) -> str | None:
    """Return the column ``rich`` of a row of which all, or only the last, turns are learned.

    A row with one turn of the assistant keeps what it has.
    """
    rich = example.get("rich")
    messages: list[dict[str, Any]]
    if rich is None:
        messages, tools = [*example["prompt"], *example["completion"]], None
        if turns == "last" or _turns_in(messages) < 2:
            return None
    else:
        found = json.loads(rich)
        messages, tools = found["messages"], found.get("tools")
        if turns == "last" and _turns_in(messages) > 1:
            messages = [_masked(m) for m in messages[:-1]] + [messages[-1]]
    # The order inside a tool and the arguments of a call stays the file's: templates write it.
    fields = [{name: message[name] for name in sorted(message)} for message in messages]
    return json.dumps({"messages": fields, "tools": tools}, ensure_ascii=False)


def _texts(message: Mapping[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    texts = [message.get("content"), message.get("reasoning_content")]
    return [str(text) for text in (*texts, json.dumps(calls) if calls else None) if text]


def _turns_in(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(message["role"] == ASSISTANT for message in messages)


def _masked(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "weight": 0} if message["role"] == ASSISTANT else message


def _weight(message: Mapping[str, Any], name: str) -> bool:
    weight = message.get("weight")
    if weight is None:
        return True
    if isinstance(weight, int | float) and weight in (0, 1):
        return bool(weight)
    raise DataError(
        f"{name} has weight={str(weight)[:20]}: a turn is learned (1) or not (0), and nothing "
        "between: give 0 or 1"
    )


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: message[name] for name in _RENDERED if message.get(name) is not None}
    kept.setdefault("content", "")  # Templates print a null.
    if kept.get("tool_calls"):
        kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
    else:
        kept.pop("tool_calls", None)
    return kept


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call whose arguments are an object: as text a template would quote them again."""
    function = call.get("function")
    if not isinstance(function, Mapping):
        return dict(call)
    arguments: Any = function.get("arguments")
    try:
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        read = arguments
    return {**call, "function": {**function, "arguments": read if isinstance(read, dict) else
                                 arguments}}  # fmt: skip
