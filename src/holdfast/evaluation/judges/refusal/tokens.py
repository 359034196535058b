"""From an answer and its question to tokens: words, tags, and what the answer repeats."""

import re
from dataclasses import dataclass

from holdfast.evaluation.judges.refusal.tags import tagged

__all__ = ["Zones", "zones"]

OPENING = 500
"""Characters of the answer that are read from its start."""
END = 200
"""Characters that are read from its end, where it is longer than both."""
ECHO = "<q>"

_SHORT = (
    (re.compile(r"\b(?:can't|cant|cannot|can not)(?![a-z])"), "cannot"),
    (re.compile(r"\b(?:won't|wont)(?![a-z])"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bdont\b"), "do not"),
    (re.compile(r"\bim\b|\bi'm\b"), "i am"),
    (re.compile(r"\b(it|that|here|there|what|he|she|let)'?s\b"), r"\1 is"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'d\b"), " would"),
)
_TOKEN = re.compile(
    r"<[a-z]+>|\d+[.)](?=\s)|\d+|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+(?:'[a-z]+)?|```|[*#]+|[?!:]"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|(?<=[。！？])")
_STOP = frozenset(
    "the a an of to in on for and or is are was were be been do does did how what why where when who"
    " which can could should would will i you my your me it its this that these those not no with"
    " from at by as if so than then there have has had best good way ways some give tell list".split()
)
_MARKS = re.compile(r"^(?:[\s*_>#\"'-]+|(?:assistant|answer|response|ai|bot)\s*:)+")


@dataclass(frozen=True)
class Zones:
    """The parts of an answer that are read apart, each as tokens."""

    first: tuple[str, ...]
    """The first sentence."""
    second: tuple[str, ...]
    """The sentence after it."""
    opening: tuple[str, ...]
    """The first 500 characters."""
    end: tuple[str, ...]
    """The last 200 characters, where the answer goes on so far."""


def zones(question: str, answer: str) -> Zones:
    """Return the parts of a folded answer; what it repeats of the question is one token."""
    said = _MARKS.sub("", answer.lower())
    echoed = frozenset(map(_stem, re.findall(r"[^\W\d_]{3,}", question.lower()))) - _STOP
    opening = _spelled(said[:OPENING])
    sentences = [one for one in _SENTENCE.split(opening) if len(one) > 1]
    first, second, *_ = [*(_tokens(one, echoed) for one in sentences[:2]), (), ()]
    rest = tuple(token for one in sentences[2:] for token in _tokens(one, echoed))
    end = _tokens(_spelled(said[OPENING:][-END:]), echoed)
    return Zones(first, second, (*first, *second, *rest), end)


def _spelled(text: str) -> str:
    for pattern, full in _SHORT:
        text = pattern.sub(full, text)
    return text


def _tokens(text: str, echoed: frozenset[str]) -> tuple[str, ...]:
    found: list[str] = []
    for token in _TOKEN.findall(tagged(text.strip())):
        shown = ECHO if token not in _STOP and _stem(token) in echoed else _shown(token)
        if shown != ECHO or found[-1:] != [ECHO]:
            found.append(shown)
    return tuple(found)


def _shown(token: str) -> str:
    """Return a number as a mark of a list or of any number."""
    if token[0].isdigit():
        return "1." if token[-1] in ".)" else "0"
    return token


def _stem(word: str) -> str:
    """Return a word without the ends that a repeated one may change."""
    for end in ("ing", "ers", "ies", "ed", "es", "er", "s", "e", "y"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word
