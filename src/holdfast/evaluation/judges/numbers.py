"""Numbers as people write them, exactly: signs, thousands, decimals, fractions, any digits."""

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

__all__ = ["BARE", "number_at", "numbers_in", "plain_digits"]

MOST_DIGITS = 400
"""A longer row of digits is no answer, and costly to read."""
_MINUS = dict.fromkeys(
    map(ord, "\u2212\ufe63\uff0d\u2010\u2011\u2012\u2013\u207b\u208b\u2796"), "-"
)
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u2008\u2009\u200a\u202f\u205f"), "\u00a0")
_GONE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u200e\u200f\u061c"))
_SIGNS = {**_MINUS, **_BLANKS, **_GONE, 0x2044: "/", 0x2215: "/", 0xFF0C: ",", 0xFF0E: ".",
          0x066B: ".", 0x066C: ",", 0x2019: "'"}  # fmt: skip

_LAYOUT = re.compile(r"\\!|(?<=\d)\\[;: ](?=\d{3})")
"""Of LaTeX, what only moves digits: ``1,\\!234``."""
_BARE_FRACTION = re.compile(r"\\([dt]?frac)\s*(\d)\s*(\d)")
_POWER_OF_TEN = re.compile(
    r"(?<=\d)\s?(?:\u00d7|\u00b7|\\times|\\cdot|[*x])\s?10\s?(?:\^|\*\*)\s?\{?([+-]?\d{1,3})\}?"
)

_UNIT = r"\$|\\\$|£|€|¥|USD\s?"
_INTEGER = (
    r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:\u00a0\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?! ?\d)"
    r"|\d{1,3}(?:'\d{3})+(?!\d)|\d{1,3}(?:\\,\d{3})+(?!\d)|\d{1,3}(?:\{,\}\d{3})+(?!\d)"
    r"|\d{1,3}(?:_\d{3})+(?!\d)|\d+"
)
_POSITIVE = (
    r"(?:\\[dt]?frac\s*\{\s*(?P<top>-?\d+)\s*\}\s*\{\s*(?P<bottom>\d+)\s*\}"
    rf"|(?P<european>\d{{1,3}}(?:\.\d{{3}})+,\d+)"
    rf"|(?P<whole>{_INTEGER})?(?P<part>(?<!\d\.)\.\d+)?(?:[eE](?P<power>[+-]?\d{{1,3}})(?!\w|\.\d))?"
    r"(?:\s*/\s*(?P<over>\d+)(?![\d/])|(?:[ ]|\s*(?=\\[dt]?frac))"
    r"(?:(?P<n>\d+)/(?P<d>\d+)(?![\d/])|\\[dt]?frac\{(?P<n2>\d+)\}\{(?P<d2>\d+)\}))?)"
)
# A minus between two numbers or behind a word is none of a number.
_SIGN = rf"(?:(?<![\w)\]])-\s?(?=(?:{_UNIT})?[\d.\\]))?"
NUMBER = re.compile(rf"(?P<sign>{_SIGN})(?:(?:{_UNIT})(?P<inner>-(?=\d))?)?(?=[\d.\\]){_POSITIVE}")
BARE = re.compile(rf"[+-]?\s?(?:{_UNIT})?-?(?=[\d.\\]){_POSITIVE}\s?%?")


def plain_digits(text: str) -> str:
    """Return ``text`` with ASCII digits, signs and blanks; "½" is 1/2 and "3 × 10^4" is 3e4."""
    plain = "".join(_plain(letter) for letter in text.translate(_SIGNS))
    plain = _BARE_FRACTION.sub(r"\\\1{\2}{\3}", _LAYOUT.sub("", plain))
    return _POWER_OF_TEN.sub(r"e\1", plain)


def numbers_in(text: str) -> list[Fraction]:
    """Return the numbers in ``text``, in its order; it has plain digits."""
    found = [_value(place) for place in NUMBER.finditer(text) if _is_one(place)]
    return [number for number in found if number is not None]


def number_at(text: str, start: int) -> Fraction | None:
    """Return the number that stands right at ``start``, behind blanks, layout and units."""
    skipped = re.compile(r"[\s*:=]*(?:\\\(|\\\[|\$(?=\\))*\s*").match(text, start)
    place = NUMBER.match(text, skipped.end() if skipped else start)
    return _value(place) if place and _is_one(place) else None


def _plain(letter: str) -> str:
    if letter.isascii():
        return letter
    digit = unicodedata.decimal(letter, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(letter) == "No" and "FRACTION" in unicodedata.name(letter, ""):
        value = Fraction(unicodedata.numeric(letter)).limit_denominator(1000)
        return f" {value.numerator}/{value.denominator}"
    return letter


def _is_one(place: re.Match[str]) -> bool:
    return any(place[name] for name in ("top", "european", "whole", "part"))


def _value(place: re.Match[str]) -> Fraction | None:
    """Return the value of one match, None where it is none (division by 0, endless digits)."""
    if len(place[0]) > MOST_DIGITS:
        return None
    negative = bool(place["sign"]) != bool(place["inner"])
    try:
        value = _positive(place)
    except (ZeroDivisionError, ArithmeticError):
        return None
    return -value if negative else value


def _positive(place: re.Match[str]) -> Fraction:
    if place["top"]:
        return Fraction(int(place["top"]), int(place["bottom"]))
    if place["european"]:
        return Fraction(place["european"].replace(".", "").replace(",", "."))
    whole = re.sub(r"[^\d]", "", place["whole"] or "0")
    value = Fraction(Decimal(f"{whole}{place['part'] or ''}e{place['power'] or 0}"))
    if place["over"]:
        return value / int(place["over"])
    if top := place["n"] or place["n2"]:
        return value + Fraction(int(top), int(place["d"] or place["d2"]))
    return value
