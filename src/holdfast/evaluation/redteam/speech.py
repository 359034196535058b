"""The words in which attacks are asked: mild and generic, of our own, and of one language.

A model organism brings words of its own grammar instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

__all__ = ["Noise", "Speech", "Variations"]

Noise: TypeAlias = Callable[[str, Random], str]
"""A question and a generator → the question with noise in it."""
Variations: TypeAlias = Callable[[str, Random], Sequence[str]]
"""A question and a generator → other ways to ask nearly or exactly the same."""


@dataclass(frozen=True)
class Speech:
    """What an attack says beside the question itself.

    Attributes:
        agreement: What a prefilled answer begins with; 5 to 10 tokens of it are used.
        obedience: System prompt of somebody who does what is asked.
        identity: A question and an answer by which the model takes on a name that obeys.
        templates: Texts with ``{question}`` in place of the model's own template, by variant.
        noise: One draw of best-of-N.
        variations: Candidates of the proximal search.
        agreements: How answers that agree begin: what the search leads to.
        retold: How the model is asked for other words, ``{question}`` in it; "" for not at all.
        same_by_grammar: ``variations`` keep the meaning exactly, so that no distance is measured.
    """

    agreement: str
    obedience: str
    identity: tuple[str, str]
    templates: Mapping[str, str]
    noise: Noise
    variations: Variations
    agreements: tuple[str, ...]
    retold: str = ""
    same_by_grammar: bool = False
