"""What the learned judge reads of an answer: n-grams of tags and words, and signals."""

import math
from collections.abc import Iterator
from itertools import pairwise

from holdfast.evaluation.judges.refusal.signals import signals
from holdfast.evaluation.judges.refusal.tokens import opening_of

__all__ = ["features"]

NORM = 8.0
"""Length of the vector of n-grams, whatever the length of the answer."""


def features(question: str, answer: str) -> dict[str, float]:
    """Return the features of a folded answer to a folded question, by name.

    An n-gram (one or two tokens of the first sentence, of the whole opening, single ones of the
    second sentence) is there or not; together they have length ``NORM``.
    """
    answer = answer.strip()
    opening = opening_of(question, answer)
    grams = {
        *_grams(opening.first, 2, "1:"),
        *_grams(opening.second, 1, "2:"),
        *_grams(opening.whole, 2, "0:"),
    }
    weight = NORM / math.sqrt(len(grams)) if grams else 0.0
    return {**dict.fromkeys(sorted(grams), weight), **signals(question, answer, opening)}


def _grams(tokens: tuple[str, ...], most: int, zone: str) -> Iterator[str]:
    for token in tokens:
        yield zone + token
    if most > 1:
        for first, second in pairwise(tokens):
            yield f"{zone}{first} {second}"
