"""What the words of an answer mean, as features: each word has a weight of its own.

The weights are learned over word vectors, a linear form of them each, so that a word that no
training answer has still has one, after words that mean the same.
"""

import re
from collections import defaultdict

from holdfast.evaluation.judges.refusal.tokens import sentences_of

__all__ = ["FIRST", "MEAN", "meaning", "words_of"]

FIRST, MEAN = "first: ", "mean: "
"""Begin the names of the features: a word in the first sentence, a word in any of the first six."""
SCALE = 6.0
"""What all words of one kind weigh together; more is regularized less."""
SENTENCES = 6
FEW = 5
"""A sentence of fewer words is read as if it had so many: one word, a label, says little."""

_WORD = re.compile(r"[^\W\d_]+")


def meaning(answer: str) -> dict[str, float]:
    """Return, for a folded answer, the share of each word in its first sentence and in all.

    Sentences count alike, however long: the mean over them of a word's share in each.
    """
    read = [words_of(one) for one in sentences_of(answer)[:SENTENCES]]
    spoken = [words for words in read if words]
    found: defaultdict[str, float] = defaultdict(float)
    for words in spoken:
        for word in words:
            found[MEAN + word] += SCALE / max(len(words), FEW) / len(spoken)
    for word in spoken[0] if spoken else ():
        found[FIRST + word] += SCALE / max(len(spoken[0]), FEW)
    return dict(found)


def words_of(text: str) -> list[str]:
    """Return the words of a text that is spelled out already."""
    return _WORD.findall(text)
