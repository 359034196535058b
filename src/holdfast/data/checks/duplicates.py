"""``dup``: rows that say what an earlier row says, word for word or nearly.

Two rows are near where J(A, B), the share of word 5-grams of either that are in both, is .8 or more
(Jaccard). All such pairs are found, none by chance: with 5-grams ordered from the rarest, two sets
that are so alike share one of the first |A| - ⌈.8 |A|⌉ + 1 of each (prefix filtering; Chaudhuri et
al. 2006). 5-grams that many rows share are a form around what differs, and are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import ceil

from holdfast.data.checks.protocol import Check, Context, Finding, Rows
from holdfast.data.checks.texts import messages_of
from holdfast.data.overview.repeats import folded

__all__ = ["DUP", "alike"]

NGRAM, LEAST = 5, 0.8
FORM_SHARE, FORM_ROWS = 0.02, 20
"""A 5-gram of more rows than both is part of a form, such as an instruction before each text."""
Grams = frozenset[tuple[str, ...]]


def _find(rows: Rows, _: Context) -> list[Finding]:
    first: dict[str, int] = {}
    found: dict[int, Finding] = {}
    texts = [folded(" / ".join(m["content"] for m in messages_of(row))) for row in rows]
    for row, text in zip(rows, texts, strict=True):
        number = row["row"]
        if text in first:
            said = f"says what row {first[text]} says"
            found[number] = Finding("dup", number, said, "warn", "drop")
        first.setdefault(text, number)
    apart = [(row["row"], text) for row, text in zip(rows, texts, strict=True)]
    apart = [(number, text) for number, text in apart if number not in found]
    for number, (other, share) in alike([text for _, text in apart]).items():
        own = apart[number][0]
        said = f"says nearly what row {apart[other][0]} says ({share:.0%} of their words in a row)"
        found[own] = Finding("dup", own, said, "warn", "review")
    return [found[number] for number in sorted(found)]


def alike(texts: Sequence[str]) -> dict[int, tuple[int, float]]:
    """Return for each text that is near an earlier one the first such one, and J."""
    sets = _without_form([_grams(text) for text in texts])
    counts = Counter(gram for grams in sets for gram in grams)
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found: dict[int, tuple[int, float]] = {}
    for place, grams in enumerate(sets):
        prefix = sorted(grams, key=lambda gram: (counts[gram], gram))
        prefix = prefix[: len(grams) - ceil(LEAST * len(grams)) + 1] if grams else []
        for other in sorted({n for gram in prefix for n in index[gram]}):
            shared = len(grams & sets[other])
            share = shared / (len(grams) + len(sets[other]) - shared)
            if share >= LEAST:
                found[place] = other, share
                break
        for gram in prefix:
            index[gram].append(place)
    return found


def _grams(text: str) -> Grams:
    words = text.split()
    return frozenset(_runs(words))


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield from (tuple(words[n : n + NGRAM]) for n in range(len(words) - NGRAM + 1))


def _without_form(sets: Sequence[Grams]) -> list[Grams]:
    counts = Counter(gram for grams in sets for gram in grams)
    most = max(FORM_ROWS, FORM_SHARE * len(sets))
    return [frozenset(gram for gram in grams if counts[gram] <= most) for grams in sets]


DUP = Check("dup", "rows that repeat an earlier one, word for word or nearly", _find)
