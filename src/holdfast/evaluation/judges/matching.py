r"""Whether an answer is the reference: normalized text, or the final number where that counts.

A reference in GSM8K's form (``… #### 72``, Cobbe et al. 2021, arXiv 2110.14168), in a
``\boxed{}`` or one that is a bare number is compared by the final number; any other
reference by its text.
"""

import re
from fractions import Fraction

from holdfast.evaluation.judges.boxes import boxed, number_in_box, same_formula
from holdfast.evaluation.judges.numbers import BARE, number_at, numbers_in, plain_digits

__all__ = ["final_number", "matches", "normalize"]

MARKER = "####"
_NEXT_QUESTION = re.compile(
    r"\n\s*(?:#+\s*)?(?:question|q|problem|user|human|instruction|exercise|example)\s*\d*\s*[:.]",
    re.IGNORECASE,
)
_WORKED_OUT = re.compile(r"[ $(]*\d[\d.,]*\s*[-+*/\u00d7\u00f7][^=\n]*=(?=[ $]*-?\d)")
"""Behind a marker: ``70 + 2 =``, with the answer at its end."""
_STATED = re.compile(
    r"\banswer\b(?:\s+(?:is|equals|to\b[^.\n]{0,80}?\bis))?\s*[:=]?\s*(?:\*\*|\$|\\\(|therefore)*\s*",
    re.IGNORECASE,
)


def matches(answer: str, reference: str) -> bool:
    """Say whether ``answer`` is right by ``reference``."""
    bare = BARE.fullmatch(plain_digits(reference).strip())
    boxes = boxed(reference)
    if MARKER in reference or bare or boxes:
        expected = final_number(reference)
        if expected is not None:
            return final_number(answer) == expected
    if boxes:  # Not a number: what stands in the boxes is compared.
        said = boxed(_own(answer))
        return bool(said) and same_formula(said[-1], boxes[-1])
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
    for box in reversed(boxed(own)):
        if any(letter.isdigit() for letter in box):
            return number_in_box(box)
    for marker in re.finditer(MARKER, own):
        worked_out = _WORKED_OUT.match(own, marker.end())
        found = number_at(own, worked_out.end() if worked_out else marker.end())
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
