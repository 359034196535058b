r"""Whether an answer is the reference: normalized text, or the final number where that counts.

A reference in GSM8K's form (``… #### 72``, Cobbe et al. 2021, arXiv 2110.14168), in a
``\boxed{}`` or one that is a bare number is compared by the final number; any other
reference by its text.
"""

import re
from fractions import Fraction

from holdfast.evaluation.judges.numbers import BARE, number_at, numbers_in, plain_digits

__all__ = ["final_number", "matches", "normalize"]

MARKER = "####"
_NEXT_QUESTION = re.compile(
    r"\n\s*(?:#+\s*)?(?:question|q|problem|user|human|instruction|exercise|example)\s*\d*\s*[:.]",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"\banswer\b(?:\s+(?:is|equals|to\b[^.\n]{0,80}?\bis))?\s*[:=]?\s*(?:\*\*|\$|\\\(|therefore)*\s*",
    re.IGNORECASE,
)


def matches(answer: str, reference: str) -> bool:
    """Say whether ``answer`` is right by ``reference``."""
    bare = BARE.fullmatch(plain_digits(reference).strip())
    if MARKER in reference or bare or _boxed(reference):
        expected = final_number(reference)
        if expected is not None:
            return final_number(answer) == expected
    boxed = _boxed(reference)
    if boxed:  # Not a number: what stands in the boxes is compared.
        said = _boxed(_own(answer))
        return bool(said) and normalize(said[-1]) == normalize(boxed[-1])
    if MARKER in reference:
        return normalize(_after_marker(answer)) == normalize(_after_marker(reference))
    return normalize(answer) == normalize(reference)


def normalize(text: str) -> str:
    """Return ``text`` in lower case, without punctuation at word ends, blanks made single."""
    words = (word.strip(".,;:!?\"'`()[]") for word in text.casefold().split())
    return " ".join(word for word in words if word)


def final_number(text: str) -> Fraction | None:
    r"""Return the number that an answer comes to, exactly, or None.

    The first that is found counts: the number in the last ``\boxed{}``; the one right behind the
    first ``####``; the one behind the last "the answer is"; the last number. A model that goes on
    to ask itself the next question has given its answer before.
    """
    own = plain_digits(_own(text))
    for box in reversed(_boxed(own)):
        if found := numbers_in(box):
            return found[-1]
    for marker in re.finditer(MARKER, own):
        found = number_at(own, marker.end())
        if found is not None:
            return found
    stated = [number_at(own, place.end()) for place in _STATED.finditer(own)]
    told = [number for number in stated if number is not None]
    found = told or numbers_in(own)
    return found[-1] if found else None


def _own(text: str) -> str:
    """Return an answer without the further questions that the model went on to ask."""
    place = _NEXT_QUESTION.search(text)
    kept = text[: place.start()] if place else text
    return kept if kept.strip() else text


def _after_marker(text: str) -> str:
    return _own(text).partition(MARKER)[2].strip().partition("\n")[0]


def _boxed(text: str) -> list[str]:
    r"""Return what stands in each ``\boxed{…}`` or ``\fbox{…}``, with braces inside of it."""
    found: list[str] = []
    for start in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth = 1
        for end in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                found.append(text[start.end() : end])
                break
    return found
