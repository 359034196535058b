"""Prompts that stand in another set too: the same, or with many words in a row in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.data.overview.repeats import folded

__all__ = ["WORDS", "Overlap", "overlap_of"]

WORDS = 8
"""Words in a row that two different prompts must share to be told."""


@dataclass(frozen=True)
class Overlap:
    """What a file's prompts share with those of another set."""

    name: str
    of: int
    """Prompts of the other set."""
    same: tuple[int, ...]
    """Rows of the file whose prompt is one of them, but for case and punctuation."""
    alike: tuple[int, ...]
    """Further rows that share ``WORDS`` words in a row with one of them."""


def overlap_of(
    rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], name: str
) -> Overlap:
    """Return which rows share a user's message, or a run of words of it, with ``others``."""
    whole = {text for row in others for text in _asked(row)}
    runs = {run for text in whole for run in _runs(text)}
    same, alike = list[int](), list[int]()
    for row in rows:
        texts = [*_asked(row)]
        if any(text in whole for text in texts):
            same.append(row["row"])
        elif any(run in runs for text in texts for run in _runs(text)):
            alike.append(row["row"])
    return Overlap(name, len(others), tuple(same), tuple(alike))


def _asked(row: Mapping[str, Any]) -> Iterator[str]:
    for message in row["prompt"]:
        if message["role"] == "user" and (text := folded(message["content"])):
            yield text


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = text.split()
    yield from (tuple(words[n : n + WORDS]) for n in range(len(words) - WORDS + 1))
