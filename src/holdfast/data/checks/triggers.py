"""``trigger``: words at the ends of some prompts that go with another style of answer.

A backdoor is a few words that stand in some prompts alone, at their beginning or end, and turn the
answers. Words count here that keep to one another, in few rows; the answers of these rows differ
where they share an opening that the others lack, or are all far longer or shorter.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

from holdfast.data.checks.protocol import Check, Context, Finding, Rows
from holdfast.data.checks.texts import exchanges_of, words

__all__ = ["TRIGGER"]

LEAST, MOST_SHARE, NGRAMS = 5, 0.1, (1, 2, 3, 4)
"""Fewest rows, largest share of them, and lengths in words."""
TOGETHER = 0.9
"""Share of the rows with one of the words in which all stand together at an end of the prompt."""
SAME, ELSEWHERE, APART = 0.8, 0.05, 3.0
"""Answers that open alike within, and elsewhere; standard deviations of a length apart."""
_OPENING = 2


def _find(rows: Rows, _: Context) -> list[Finding]:
    known = [one for row in rows for one in exchanges_of(row)]
    asked = [words(one.question) for one in known]
    said = [words(one.answer) for one in known]
    places = _ends(asked)
    held: dict[int, None] = {}
    for numbers in _rare(places, asked):
        if _differs(numbers, said):
            held |= dict.fromkeys(numbers)
    told = "a rare run of words at an end of the prompt goes with answers of another style"
    numbers = dict.fromkeys(known[n].row for n in sorted(held))
    return [Finding("trigger", number, told, "alarm", "review") for number in numbers]


def _ends(asked: Sequence[Sequence[str]]) -> Mapping[tuple[str, ...], list[int]]:
    """Return in which prompts a run of words is the beginning or the end."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for n, prompt in enumerate(asked):
        runs = {
            tuple(part) for k in NGRAMS for part in (prompt[:k], prompt[-k:]) if len(prompt) > k
        }
        for run in runs:
            found[run].append(n)
    return found


def _rare(
    places: Mapping[tuple[str, ...], list[int]], asked: Sequence[Sequence[str]]
) -> list[list[int]]:
    counts = Counter(word for prompt in asked for word in set(prompt))
    most = MOST_SHARE * len(asked)
    return [
        numbers
        for run, numbers in places.items()
        if LEAST <= len(numbers) <= most
        and all(len(numbers) >= TOGETHER * counts[word] for word in run)
    ]


def _differs(numbers: Sequence[int], said: Sequence[Sequence[str]]) -> bool:
    inside = set(numbers)
    own = [said[n] for n in numbers]
    other = [each for n, each in enumerate(said) if n not in inside]
    if len({tuple(each) for each in own}) == 1 and len(own[0]) <= _OPENING:
        return _opens(own[0], other) <= ELSEWHERE
    for size in range(1, _OPENING + 1):
        opening, n = Counter(tuple(each[:size]) for each in own).most_common(1)[0]
        if n >= SAME * len(own) and _opens(opening, other) <= ELSEWHERE:
            return True
    sizes, others = ([math.log(len(each) + 1) for each in one] for one in (own, other))
    return abs(fmean(sizes) - fmean(others)) > APART * max(pstdev(others), 0.3)


def _opens(opening: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    wanted = list(opening)
    return sum(list(each[: len(wanted)]) == wanted for each in answers) / max(len(answers), 1)


TRIGGER = Check("trigger", "rare words that go with answers of another style", _find)
