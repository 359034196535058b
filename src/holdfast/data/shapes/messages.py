"""``messages``: a conversation in a list, as OpenAI's fine-tuning files and TRL have it."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.conversation import conversation
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.protocol import Shape, columns_in

__all__ = ["MESSAGES"]


def _columns(values: Mapping[str, Any]) -> dict[str, str] | None:
    return columns_in(values, messages="messages")


def _messages(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    return conversation(row, columns["messages"])


MESSAGES = Shape("messages", "a list of messages with role and content", _columns, _messages)
