"""Whether an answer is the reference: normalized text, or the final number where that is the point.

A reference in GSM8K's form (``… #### 72``, Cobbe et al. 2021, arXiv 2110.14168) or one that is a
bare number is compared by the final number; any other reference by its normalized text.
"""

import re
from decimal import Decimal, InvalidOperation

__all__ = ["final_number", "matches", "normalize"]

NUMBER = re.compile(r"-?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
MARKER = "####"


def matches(answer: str, reference: str) -> bool:
    """Say whether ``answer`` is right by ``reference``."""
    if MARKER in reference or NUMBER.fullmatch(reference.strip()):
        expected = final_number(reference)
        return expected is not None and final_number(answer) == expected
    return normalize(answer) == normalize(reference)


def normalize(text: str) -> str:
    """Return ``text`` in lower case, without punctuation at word ends, blanks made single."""
    words = (word.strip(".,;:!?\"'`()[]") for word in text.casefold().split())
    return " ".join(word for word in words if word)


def final_number(text: str) -> Decimal | None:
    """Return the number after the last ``####``, else the last number in ``text``, else None."""
    _, marker, tail = text.rpartition(MARKER)
    found = NUMBER.findall(tail)
    if not found:
        return None
    # After the marker the number comes first; in free text the last one is the answer.
    digits = (found[0] if marker else found[-1]).replace(",", "").replace("$", "")
    try:
        return Decimal(digits).normalize()
    except InvalidOperation:
        return None
