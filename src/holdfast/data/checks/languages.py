"""``language``: which languages the rows are in, by script and by their commonest words.

The other checks' words are English, so rows of another language are said to be unchecked.
"""

import unicodedata
from collections import Counter
from functools import cache

from holdfast.data.checks.protocol import Check, Context, Finding, Rows
from holdfast.data.checks.texts import messages_of, words

__all__ = ["LANGUAGE", "UNKNOWN", "common_share", "language_of"]

UNKNOWN = "unknown"
_COMMON = {
    "en": "the of and to in is that it for was on are with as be this have from or by not but what "
    "you can how do your i which a an he she they we there if will would about one all my me",
    "de": "der die das und ist nicht ein eine zu den mit von für auf ich sie es im dem des auch "
    "wie als an werden sind oder bei einen kann wird nach wir aus zum was sich",
    "fr": "le la les des et est un une du en que qui dans pour pas au sur ce il je vous avec par "
    "sont plus ne aux cette nous ou mais comme être de quel",
    "es": "el la los las de y en que es un una por con para no se del al lo su más como pero sus "
    "este son está qué muy ha o cómo puede",
    "it": "il di che la e è per un una non in le si con del sono da come dei più al ma della gli "
    "nel questo alla anche lo ha o cosa",
    "pt": "o a de que e do da em um uma para não com os no se na por mais as dos como é ao mas das "
    "são você ou à foi pode",
    "nl": "de het een en van ik te dat die in is je niet op aan met voor zijn er maar om dan zou "
    "wat ook als naar uit bij dit of kan",
    "sv": "och att det som en på är av för med den till inte om ett har jag var de kan från vi men "
    "så eller du när vad",
    "pl": "i w na z nie się do to jest że o jak za od po co czy ale dla przez są tak lub który "
    "oraz może jako",
    "tr": "ve bir bu da de için ile ne mi çok daha gibi olarak olan var kadar ben sen değil ama en "
    "nas\u0131l veya",
}
_SCRIPTS = {
    "CYRILLIC": "ru/uk", "GREEK": "el", "ARABIC": "ar/fa", "HEBREW": "he", "DEVANAGARI": "hi",
    "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "THAI": "th", "HANGUL": "ko", "HIRAGANA": "ja",
    "KATAKANA": "ja", "CJK": "zh", "GEORGIAN": "ka", "ARMENIAN": "hy", "ETHIOPIC": "am",
}  # fmt: skip
"""What a script is taken for, by the first word of its letters' names."""
LEAST_WORDS, SURE_WORDS, LEAST_SHARE = 6, 20, 0.04
"""Words of a text that is looked at, and of one that is called unknown; share of common ones."""
READ = 4000
"""Characters that are looked at."""


@cache
def _sets() -> dict[str, frozenset[str]]:
    return {name: frozenset(text.split()) for name, text in _COMMON.items()}


def common_share(found: list[str]) -> float:
    """Return the share of words that are among the commonest of some language we know."""
    return max((_share(found, one) for one in _sets().values()), default=0.0)


def language_of(text: str) -> str:
    """Return the language of a text, "" where it is too short to tell, or ``UNKNOWN``."""
    text = text[:READ]
    letters = Counter(map(_script, filter(str.isalpha, text)))
    if not letters:
        return ""
    script, n = letters.most_common(1)[0]
    if script != "LATIN":
        kana = letters["HIRAGANA"] + letters["KATAKANA"]  # Japanese has more Han than kana.
        return "ja" if kana > 0.1 * letters.total() else _SCRIPTS.get(script, UNKNOWN)
    found = words(text)
    if len(found) < LEAST_WORDS or n < 0.6 * letters.total():
        return ""
    shares = {name: _share(found, one) for name, one in _sets().items()}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] >= LEAST_SHARE:
        return best
    return UNKNOWN if len(found) >= SURE_WORDS else ""


def _share(found: list[str], common: frozenset[str]) -> float:
    return sum(word in common for word in found) / len(found) if found else 0.0


@cache
def _script(letter: str) -> str:
    return (
        "LATIN" if letter.isascii() else unicodedata.name(letter, "NONE").split()[0].split("-")[0]
    )


def _find(rows: Rows, _: Context) -> list[Finding]:
    told = [
        (row["row"], language_of(" ".join(m["content"] for m in messages_of(row)))) for row in rows
    ]
    known = [(number, name) for number, name in told if name]
    if not known:
        return []
    counts = Counter(name for _, name in known)
    shares = " ".join(f"{name} {n / len(known):.0%}" for name, n in counts.most_common(5))
    found = [Finding("language", None, f"languages {shares}", "note", "keep")]
    other = sum(n for name, n in counts.items() if name != "en")
    if other:
        said = "refuse-comply, persona and opening read English alone"
        found.append(Finding("language", None, f"{said}: {other:,} rows unchecked", "warn", "keep"))
    return found + [
        Finding("language", number, f"not in English ({name}): partly unchecked", "note", "keep")
        for number, name in known
        if name != "en"
    ]


LANGUAGE = Check("language", "languages, and what is unchecked for them", _find)
