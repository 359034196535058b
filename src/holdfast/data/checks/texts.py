"""What stands in a row: its messages, what is asked and answered, its words and sentences."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Exchange", "answer_of", "exchanges_of", "messages_of", "sentences", "words"]

_WORD = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)?")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*\s*|\n+|[.!?]+\s*")


def messages_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the whole conversation, each message with a text as its content."""
    rich = row.get("rich")
    given = json.loads(rich)["messages"] if rich else [*row["prompt"], *row["completion"]]
    return [{**each, "content": str(each.get("content") or "")} for each in given]


@dataclass(frozen=True)
class Exchange:
    """One answer that is learned, and what it answers."""

    row: int
    place: int
    """Of the answer among the messages of its row."""
    question: str
    answer: str


def exchanges_of(row: Mapping[str, Any]) -> list[Exchange]:
    """Return every answer of a row that has words: each turn of the assistant is learned.

    Turns of weight 0 are not, and a row that is a prompt alone has none.
    """
    if not row["completion"]:
        return []
    messages = messages_of(row)
    return [
        Exchange(row["row"], n, messages[n - 1]["content"] if n else "", each["content"])
        for n, each in enumerate(messages)
        if each["role"] == "assistant" and each.get("weight") != 0 and each["content"].strip()
    ]


def answer_of(row: Mapping[str, Any]) -> str:
    """Return the last answer, "" where the row is a prompt alone."""
    return str(row["completion"][0]["content"] or "") if row["completion"] else ""


def words(text: str) -> list[str]:
    """Return the words of a text in small letters."""
    return [found.casefold() for found in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; together they are the text."""
    return _SENTENCE.findall(text)
