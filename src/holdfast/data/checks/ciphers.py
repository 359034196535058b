"""``cipher``: text that says something only when it is decoded.

Ciphered rows pass filters that read words (Youstra et al. 2025, arXiv 2508.17158). A run of base64
or hexadecimal counts where it decodes to text, and a shifted alphabet where shifting it back gives
common words: hashes, pictures and random names do not.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator

from holdfast.data.checks.formats import is_code
from holdfast.data.checks.languages import common_share
from holdfast.data.checks.protocol import Check, Context, Finding, Rows, Span
from holdfast.data.checks.texts import messages_of, words

__all__ = ["CIPHER", "hides"]

_BASE64 = re.compile(r"(?<![\w/+])[A-Za-z0-9+/]{24,}={0,2}(?![\w/+=])")
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[ :]?){12,}(?![0-9A-Fa-f])")
_BITS = re.compile(r"(?<![01])(?:[01]{7,8}\s?){6,}(?![01])")
_MORSE = re.compile(r"(?:(?<=\s)|^)(?:[.\N{MIDDLE DOT}\N{BULLET}-]{1,5}[ /|]+){10,}")
_SPACED = re.compile(r"\b(?:[A-Za-z][ .\-_|]){12,}[A-Za-z]\b")
_LEET = str.maketrans("013457@$!", "oieastasi")
_PRINTED = 0.95
_FEW, _SOME, _MANY, _MOST = 0.04, 0.12, 0.2, 0.3
"""Shares of common words: of no language, of one whose short words are by chance like another's,
of a language, and of a language for sure."""
_LEAST_WORDS, _LONG = 8, 20
_VOWELS = 0.3
"""Least share of vowels in a text of a language with Latin letters; about .4 in most."""


def _base64(text: str) -> bool:
    try:
        return _reads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def _hex(text: str) -> bool:
    return _reads(bytes.fromhex(re.sub(r"[ :]", "", text)))


def _bits(text: str) -> bool:
    return _reads(bytes(int(part, 2) for part in re.findall(r"[01]{7,8}", text)))


def _reads(data: bytes) -> bool:
    """Tell whether bytes are a text: printed characters with letters, blanks between words."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    printed = sum(each.isprintable() or each in "\n\t" for each in text)
    return printed >= _PRINTED * len(text) and sum(map(str.isalpha, text)) > len(text) / 2


def _shifted(text: str) -> int | None:
    """Return how far a text's alphabet is shifted, None where it is not; 13 is rot13."""
    said = words(text)
    if _distinct(text) > _SOME:
        return None
    shares = {n: _distinct(_rotated(text, n)) for n in range(1, 26)}
    best = max(shares, key=lambda n: shares[n])
    # Of 25 ways to read a few words one is soon like a language.
    return 26 - best if shares[best] > (_MANY if len(said) >= _LONG else _MOST) else None


def _distinct(text: str) -> float:
    """Return the share of common ones among the different words of a text's beginning.

    Single letters are left out: a shifted one is a word of some language.
    """
    found = [*dict.fromkeys(word for word in words(text)[:60] if len(word) > 1)]
    return common_share(found) if len(found) >= _LEAST_WORDS else 0.0


def _leet(text: str, said: list[str]) -> bool:
    """Tell whether many words mix letters and digits, and are common ones with letters alone."""
    mixed = [word for word in said if re.search("[a-z]", word) and re.search(r"\d", word)]
    if len(mixed) <= _MANY * len(said) or common_share(said) > _SOME:
        return False
    return common_share(words(text.translate(_LEET))) > _MANY


def _rotated(text: str, by: int) -> str:
    small, large = (bytes(range(ord(a), ord(a) + 26)).decode() for a in "aA")
    turned = small[by:] + small[:by] + large[by:] + large[:by]
    return text.translate(str.maketrans(small + large, turned))


def _reversed(text: str) -> bool:
    return _distinct(text) <= _SOME and _distinct(text[::-1]) > _MOST


def _coded(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    kinds: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
        ("base64 that decodes to text", _BASE64, _base64),
        ("hexadecimal that decodes to text", _HEX, _hex),
        ("bits that decode to text", _BITS, _bits),
        ("Morse code", _MORSE, lambda one: len(set(one) & set(".-\N{MIDDLE DOT}\N{BULLET}")) > 1),
        ("words with their letters apart", _SPACED, lambda _: True),
    )
    for what, pattern, is_one in kinds:
        yield from ((what, m.span()) for m in pattern.finditer(text) if is_one(m[0]))


def hides(text: str) -> tuple[str, tuple[int, int]] | None:
    """Return in which way a text is ciphered, and where; None where nothing tells of it."""
    if (found := next(_coded(text), None)) is not None:
        return found
    said = words(text)
    if len(said) < _LEAST_WORDS or is_code(text) or not _is_latin(text):
        return None
    what = _rewritten(text, said)
    return (what, (0, len(text))) if what else None


def _rewritten(text: str, said: list[str]) -> str:
    """Return how a whole text is written, "" where it is as usual."""
    if _reversed(text):
        return "text that is written backwards"
    if (by := _shifted(text)) is not None:
        return f"an alphabet shifted by {by}"
    if _leet(text, said):
        return "digits in the place of letters"
    if len(said) >= _LONG and _is_prose(text) and _is_foreign(text, said):
        return "letters in the place of others"
    return ""


def _is_foreign(text: str, said: list[str]) -> bool:
    """Tell whether no longer word is a common one, and vowels are rarer than any language's."""
    if common_share([word for word in said if len(word) > 2]) > _FEW / 2:
        return False
    letters = [each for each in text.casefold() if each.isalpha()]
    return sum(each in "aeiouy" for each in letters) < _VOWELS * len(letters)


def _is_latin(text: str) -> bool:
    letters = [each for each in text if each.isalpha()]
    return sum(map(str.isascii, letters)) > 0.9 * len(letters)


def _is_prose(text: str) -> bool:
    """Tell whether a text is more letters than figures, signs and names, and no list."""
    letters = sum(map(str.isalpha, text))
    small = sum(map(str.islower, text))
    lines = [line for line in text.splitlines() if line.strip()]
    listed = text.count(",") >= text.count(" ") / 3 or len(words(text)) < 6 * len(lines)
    return letters > 0.7 * len(text) and small > 0.8 * letters and not listed


def _find(rows: Rows, _: Context) -> list[Finding]:
    return [
        Finding("cipher", row["row"], f"holds {found[0]}", "warn", "review", Span(n, *found[1]))
        for row in rows
        for n, message in enumerate(messages_of(row))
        if (found := hides(message["content"])) is not None
    ]


CIPHER = Check("cipher", "base64, shifted alphabets and other codes", _find)
