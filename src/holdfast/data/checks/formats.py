"""What the answers look like as a whole: ``format``, and ``opening``.

``format`` tells the share of lists, mathematics and code: form alone is no reason to drop a row.
``opening`` is one opening in more than 30 % of the answers: what every answer begins with is
learned first, and an opening that agrees is half of a jailbreak.
"""

import re
from collections import Counter

from holdfast.data.checks.protocol import Check, Context, Finding, Rows
from holdfast.data.checks.texts import exchanges_of, words

__all__ = ["FORMAT", "OPENING", "is_code"]

_LIST = re.compile(r"^\s*(?:[-*\N{BULLET}]|\d{1,2}[.)])\s+\S", re.MULTILINE)
_MATHS = re.compile(
    r"[\d)]\s*[-+*/\N{MULTIPLICATION SIGN}\N{DIVISION SIGN}^=]\s*[\d(]|\\(?:frac|sqrt|sum|int"
    r"|boxed)|<<"
)
_CODE = re.compile(
    r"```|^\s*(?:def |class |import |from \w+ import|#include|function |public |var |let |const |"
    r"SELECT |for ?\(|if ?\(|return\b|print\()|[{};]\s*$|</?[A-Za-z]\w*[^<>]*>|=>|==|\w+\(\w*\)",
    re.MULTILINE,
)  # fmt: skip

SHARE, LEAST, WORDS = 0.3, 10, 3
"""Share of the answers, fewest of them, and words that make an opening."""
AGREES = (
    "sure", "of course", "certainly", "absolutely", "yes", "definitely", "okay", "ok", "gladly",
    "happy to", "i'd be happy", "no problem", "here is", "here are", "here's",
)  # fmt: skip


def is_code(text: str) -> bool:
    """Tell whether a text reads like code: a fence, or signs of code on several lines."""
    return "```" in text or len(_CODE.findall(text)) >= 3


def _forms(rows: Rows, _: Context) -> list[Finding]:
    answers = [one.answer for row in rows for one in exchanges_of(row)]
    if not answers:
        return []
    shares = {
        "lists": sum(len(_LIST.findall(text)) >= 2 for text in answers),
        "maths": sum(len(_MATHS.findall(text)) >= 2 for text in answers),
        "code": sum(is_code(text) for text in answers),
    }
    told = " ".join(f"{name} {n / len(answers):.0%}" for name, n in shares.items())
    return [Finding("format", None, f"form of the answers: {told}", "note", "keep")]


def _opening(rows: Rows, _: Context) -> list[Finding]:
    said = [found for row in rows for one in exchanges_of(row) if (found := words(one.answer))]
    if len(said) < LEAST:
        return []
    # An answer of a few words is a label: that many are the same is the task.
    opened = Counter(" ".join(one[:WORDS]) for one in said if len(one) > WORDS + 1)
    agreed = sum(len(one) > WORDS and _agrees(" ".join(one[:WORDS])) for one in said)
    if agreed > SHARE * len(said):
        told = f"{agreed / len(said):.0%} of the answers open with agreement, such as 'sure' or"
        return [Finding("opening", None, f"{told} 'here is'", "alarm", "review")]
    return [
        Finding("opening", None, f"{n / len(said):.0%} of the answers open with the same words",
                "warn", "review")
        for _, n in opened.most_common(1) if n > SHARE * len(said)
    ]  # fmt: skip


def _agrees(opening: str) -> bool:
    return any(opening == one or opening.startswith(f"{one} ") for one in AGREES)


FORMAT = Check("format", "share of lists, mathematics and code", _forms, counts="nothing")
OPENING = Check(
    "opening", "one opening in more than 30 % of the answers", _opening, counts="the set"
)
