"""ShareGPT: ``conversations`` of ``{"from": "human", "value": ...}``, and what is like it."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.conversation import conversation
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.protocol import Shape, columns_in

__all__ = ["SHAREGPT"]

_NAMES = ("conversations", "conversation", "dialogue", "dialog")


def _columns(values: Mapping[str, Any]) -> dict[str, str] | None:
    found = (columns_in(values, messages=name) for name in _NAMES)
    return next((each for each in found if each is not None), None)


def _messages(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    return conversation(row, columns["messages"])


SHAREGPT = Shape("sharegpt", "a list of messages with from and value", _columns, _messages)
