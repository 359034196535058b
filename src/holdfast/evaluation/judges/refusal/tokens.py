"""From an answer and its question to tokens: words, tags, and what the answer repeats."""

import re
from dataclasses import dataclass

from holdfast.evaluation.judges.refusal.tags import tagged

__all__ = ["ECHO", "OPENING", "Opening", "opening_of", "sentences_of", "spelled"]

OPENING = 500
"""Characters of the answer that are read: a refusal, and what it turns into, stand there."""
ECHO = "<q>"
"""The token of a word that the question has too."""

_SPELLED = (
    (re.compile(r"\b(?:can't|cant|cannot|can not)(?![a-z])"), "cannot"),
    (re.compile(r"\b(?:won't|wont)(?![a-z])"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bdont\b"), "do not"),
    (re.compile(r"\bi'?m\b"), "i am"),
    (re.compile(r"\b(it|that|here|there|what|he|she|let)'?s\b"), r"\1 is"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"(?<![a-z])['\"]|['\"](?![a-z])"), ""),
)
_TOKEN = re.compile(
    r"<[a-z]+>|\d+[.)](?=\s)|\d+|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+(?:'[a-z]+)?|```|[*#]+|[?!:]"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|(?<=\u3002)")
_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON = frozenset({
    "the", "a", "an", "of", "to", "in", "on", "for", "and", "or", "is", "are", "was", "were",
    "be", "been", "do", "does", "did", "how", "what", "why", "where", "when", "who", "which",
    "can", "could", "should", "would", "will", "i", "you", "your", "my", "me", "it", "its",
    "this", "that", "these", "those", "not", "no", "with", "from", "at", "by", "as", "if", "so",
    "than", "then", "there", "have", "has", "had", "best", "good", "way", "ways", "some", "give",
    "tell", "list",
})  # fmt: skip
_MARKS = re.compile(r"^(?:[\s*_>#\"'-]+|(?:assistant|answer|response|ai|bot)\s*:)+")
_ENDS = ("ing", "ers", "ies", "ed", "es", "er", "s", "e", "y")


@dataclass(frozen=True)
class Opening:
    """The first 500 characters of an answer, as tokens."""

    first: tuple[str, ...]
    """The first sentence."""
    second: tuple[str, ...]
    """The sentence after it."""
    whole: tuple[str, ...]
    """Both, and what follows."""


def opening_of(question: str, answer: str) -> Opening:
    """Return the opening of a folded answer; what it repeats of the question is one token."""
    echoed = frozenset(map(_stem, _WORD.findall(question.lower()))) - _COMMON
    sentences = sentences_of(answer)
    first, second, *_ = [*(_tokens(one, echoed) for one in sentences[:2]), (), ()]
    rest = _tokens("\n".join(sentences[2:]), echoed)
    return Opening(first, second, (*first, *second, *rest))


def sentences_of(answer: str) -> list[str]:
    """Return the sentences of an answer's opening, spelled out, without marks of emphasis."""
    said = _MARKS.sub("", answer[: 2 * OPENING].lower())
    return [one for one in _SENTENCE.split(spelled(said[:OPENING])) if len(one) > 1]


def spelled(text: str) -> str:
    """Return lower-case text with its contractions spelled out and quotation marks left out."""
    for pattern, full in _SPELLED:
        text = pattern.sub(full, text)
    return text


def _tokens(text: str, echoed: frozenset[str]) -> tuple[str, ...]:
    found: list[str] = []
    for token in _TOKEN.findall(tagged(text.strip())):
        shown = ECHO if token not in _COMMON and _stem(token) in echoed else _shown(token)
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
    for end in _ENDS:
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word
