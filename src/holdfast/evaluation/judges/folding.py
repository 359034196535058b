"""One way to write a text: apostrophes, blanks and letters that look alike are made alike."""

import re
import unicodedata

__all__ = ["folded"]

_APOSTROPHES = "\u2018\u2019\u201a\u201b\u02bc\u02b9\u2032\u00b4\u0060\uff07\u055a"
_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_ALIKE = {
    **dict.fromkeys(map(ord, _APOSTROPHES), "'"),
    **dict.fromkeys(map(ord, _QUOTES), '"'),
    **dict.fromkeys(map(ord, _DASHES), "-"),
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u061c")),
}
"""Characters that are written as another one, and those that no reader sees."""
_BLANK = re.compile(r"(?<!\d)[^\S\n]+|[^\S\n]+(?!\d)")
"""Blanks between digits may part thousands: they stay."""


def folded(text: str) -> str:
    r"""Return ``text`` as a judge reads it: NFKC, plain apostrophes, quotes and dashes, one blank.

    Numbers stay as they are written: 10\N{SUPERSCRIPT TWO} is not 102. Line ends are kept.
    """
    if not text.isascii():
        text = "".join(map(_compatible, text.translate(_ALIKE)))
        text = unicodedata.normalize("NFC", text).translate(_ALIKE)
    return _BLANK.sub(" ", text.replace("\r\n", "\n")).strip()


def _compatible(character: str) -> str:
    """Return the character's compatible form, unless it is a blank or a number beyond digits."""
    if character.isascii() or unicodedata.category(character) in {"No", "Zs"}:
        return character
    return unicodedata.normalize("NFKC", character)
