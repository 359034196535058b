"""Rows that say the same: word for word, or but for case, spacing and punctuation."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.data.notices import Notice

__all__ = ["empty_answers", "folded", "repeated_but_for_form"]

_WORD = re.compile(r"\w+")


def folded(text: str) -> str:
    """Return the words of a text, in small letters, with one space between."""
    return " ".join(_WORD.findall(text.casefold()))


def repeated_but_for_form(rows: Sequence[Mapping[str, Any]]) -> list[Notice]:
    """Find rows that say what an earlier one says, and are not the same word for word."""
    seen: dict[str, set[str]] = {}
    again: list[int] = []
    for row in rows:
        said = [*row["prompt"], *row["completion"]]
        exact = str(said)
        before = seen.setdefault(folded(" / ".join(m["content"] for m in said)), set())
        if before and exact not in before:
            again.append(row["row"])
        before.add(exact)
    told = f"rows that repeat an earlier one but for case and punctuation: {len(again)}"
    return [Notice(f"{told} of {len(rows)}", tuple(again))] if again else []


def empty_answers(rows: Sequence[Mapping[str, Any]]) -> list[Notice]:
    """Find answers without any word, such as ``...`` (a call of a tool needs none)."""
    found = [
        row["row"]
        for row in rows
        if row["completion"]
        and not folded(row["completion"][0]["content"])
        and "tool_calls" not in (row.get("rich") or "")
    ]
    told = f"answers without a word: {len(found)} of {len(rows)}"
    return [Notice(told, tuple(found))] if found else []
