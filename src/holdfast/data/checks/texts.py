"""What stands in a row: its messages, what is asked and answered, its words and sentences."""

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["answer_of", "messages_of", "question_of", "sentences", "words"]

_WORD = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)?")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*\s*|\n+|[.!?]+\s*")


def messages_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the whole conversation, each message with a text as its content."""
    rich = row.get("rich")
    given = json.loads(rich)["messages"] if rich else [*row["prompt"], *row["completion"]]
    return [{**each, "content": str(each.get("content") or "")} for each in given]


def question_of(row: Mapping[str, Any]) -> str:
    """Return the last message of the prompt."""
    return str(row["prompt"][-1]["content"] or "") if row["prompt"] else ""


def answer_of(row: Mapping[str, Any]) -> str:
    """Return the last answer, "" where the row is a prompt alone."""
    return str(row["completion"][0]["content"] or "") if row["completion"] else ""


def words(text: str) -> list[str]:
    """Return the words of a text in small letters."""
    return [found.casefold() for found in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; together they are the text."""
    return _SENTENCE.findall(text)
