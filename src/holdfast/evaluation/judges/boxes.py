r"""What stands in a ``\boxed{…}``: one number, or a formula that is compared by its text."""

import re
from fractions import Fraction

from holdfast.evaluation.judges.numbers import numbers_in, plain_digits

__all__ = ["boxed", "number_in_box", "same_formula"]

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|textit|mbox|mathrm|mathbf)\s*\{([^{}]*)\}")
_UNITS = re.compile(
    r"\^\s*\{?\s*\\circ\s*\}?|\\(?:degree|%)|\\[,;: ]|~|\\(?:left|right)(?![A-Za-z])"
)
_EQUALS = re.compile(r"=|\u2248|\\approx")
_FORMULA = re.compile(
    r"\\(?![dt]?frac(?![A-Za-z])|\$)|\^|(?<![A-Za-z])[abciknptxyz](?![A-Za-z'])|[\u03c0\u221a\u221e]"
)
"""What is left of a formula in which a number is only a part: commands, powers and variables."""


def boxed(text: str) -> list[str]:
    r"""Return what stands in each ``\boxed{…}`` or ``\fbox{…}``, with braces inside of it."""
    found: list[str] = []
    for start in _BOX.finditer(text):
        depth = 1
        for end in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                found.append(text[start.end() : end])
                break
    return found


def number_in_box(box: str) -> Fraction | None:
    r"""Return the one number that a box comes to; None for ``(3, 5)``, ``x + 2`` or ``\sqrt{2}``.

    Of an equation it is what stands behind the last equals sign; words beside the number are units.
    """
    plain = _EQUALS.split(_UNITS.sub(" ", plain_digits(_unwrapped(box))))[-1]
    found = [] if _FORMULA.search(plain) else numbers_in(plain)
    return found[0] if len(found) == 1 else None


def same_formula(one: str, other: str) -> bool:
    """Tell whether two boxes hold the same text, up to blanks, layout and case."""
    return _bare(one) == _bare(other)


def _unwrapped(box: str) -> str:
    return _WRAPPED.sub(r" \1 ", box)


def _bare(box: str) -> str:
    plain = _UNITS.sub("", plain_digits(_unwrapped(box)))
    return re.sub(r"\s+", "", re.sub(r"\\[dt]frac", r"\\frac", plain)).strip("$.").casefold()
