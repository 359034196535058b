"""A conversation written as one text, ``Human: ... Assistant: ...``, as HH-RLHF has it."""

import re
from typing import TypeGuard

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.texts import text_of

__all__ = ["is_transcript", "turns_of"]

_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


def is_transcript(value: object) -> TypeGuard[str]:
    """Tell whether a value is such a text: it begins with ``Human:`` and names the assistant."""
    if not isinstance(value, str):
        return False
    return value.lstrip().startswith("Human:") and "\n\nAssistant:" in value


def turns_of(text: str, row: RawRow, column: str) -> list[Message]:
    """Return the messages of a transcript; an ``Assistant:`` at its end asks for the answer.

    Raises:
        DataError: A turn is empty.
    """
    _, *parts = _TURN.split(text)
    said = list(zip(parts[::2], parts[1::2], strict=True))
    if said[-1][0] == "Assistant" and not said[-1][1].strip():
        said.pop()
    name = "turn {} of {!r}".format
    return [
        {"role": _SPEAKERS[who], "content": text_of(words, row, name(number, column)).strip()}
        for number, (who, words) in enumerate(said, start=1)
    ]
