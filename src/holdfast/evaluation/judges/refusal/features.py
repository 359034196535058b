"""What the learned judge reads of an answer: n-grams, signals, and what its words mean."""

import math
from collections.abc import Iterator
from itertools import pairwise

from holdfast.evaluation.judges.refusal.meaning import meaning
from holdfast.evaluation.judges.refusal.signals import signals
from holdfast.evaluation.judges.refusal.tokens import opening_of

__all__ = ["features"]

NORM = 8.0
"""Length of the vector of n-grams, whatever the length of the answer."""


def features(question: str, answer: str) -> dict[str, float]:
    """Return the features of a folded answer to a folded question, by name.

    An n-gram (one or two tokens of the first sentence, of the whole opening, single ones of the
    second sentence) is there or not; together they have length ``NORM``.
    Signals and the shares of words come with them.
    """
    answer = answer.strip()
    opening = opening_of(question, answer)
    grams = {
        *_grams(opening.first, 2, "1:"),
        *_grams(opening.second, 1, "2:"),
        *_grams(opening.whole, 2, "0:"),
    }
    weight = NORM / math.sqrt(len(grams)) if grams else 0.0
    said = {**signals(question, answer, opening), **meaning(answer)}
    return {**dict.fromkeys(sorted(grams), weight), **said}


def _grams(tokens: tuple[str, ...], most: int, zone: str) -> Iterator[str]:
    for token in tokens:
        yield zone + token
    if most > 1:
        for first, second in pairwise(tokens):
            yield f"{zone}{first} {second}"
