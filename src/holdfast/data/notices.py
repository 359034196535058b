"""What is no error of rows and worth a warning; each is one function in ``NOTICED``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NOTICED", "Notice", "answers_differ", "notices_of", "repeated"]

Rows = Sequence[Mapping[str, Any]]
"""Examples, each with its number in ``row``."""
SHOWN = 5
"""Rows that a finding names."""


@dataclass(frozen=True)
class Notice:
    """One sentence about some rows."""

    sentence: str
    rows: tuple[int, ...]
    """Numbers of the rows, as errors have them."""

    def __str__(self) -> str:
        """Return the sentence with the first few numbers."""
        more = f" and {len(self.rows) - SHOWN} more" if len(self.rows) > SHOWN else ""
        word = "row" if len(self.rows) == 1 else "rows"
        return f"{self.sentence} ({word} {', '.join(map(str, self.rows[:SHOWN]))}{more})"


def repeated(rows: Rows) -> list[Notice]:
    """Find rows whose prompt and answer stand in an earlier row already."""
    seen: set[str] = set()
    again: list[int] = []
    for row in rows:
        words = f"{row['prompt']}{row['completion']}"
        if words in seen:
            again.append(row["row"])
        seen.add(words)
    said = f"rows that repeat an earlier one word for word: {len(again)} of {len(rows)}"
    return [Notice(said, tuple(again))] if again else []


def answers_differ(rows: Rows) -> list[Notice]:
    """Find rows that share a prompt and have different answers."""
    asked: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        answers = asked.setdefault(str(row["prompt"]), {})
        answers.setdefault(str(row["completion"]), []).append(row["row"])
    split = [answers for answers in asked.values() if len(answers) > 1]
    numbers = sorted(n for answers in split for same in answers.values() for n in same)
    said = f"prompts with different answers: {len(split)} of {len(asked)}"
    return [Notice(said, tuple(numbers))] if split else []


NOTICED: tuple[Callable[[Rows], list[Notice]], ...] = (repeated, answers_differ)


def notices_of(rows: Iterable[Mapping[str, Any]]) -> list[Notice]:
    """Return what every function finds in Examples, in the order of ``NOTICED``."""
    numbered = [{**row, "row": row.get("row") or n} for n, row in enumerate(rows, start=1)]
    return [notice for look in NOTICED for notice in look(numbered)]
