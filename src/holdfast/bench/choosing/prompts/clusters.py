"""Prompts that say nearly the same are one cluster: they are no independent evidence.

Two texts are near-duplicates where they are equal but for case, punctuation and spaces, or where
the Jaccard index of their sets of 4 consecutive characters is ``ALIKE`` or more; clusters are what
hangs together by such pairs.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

__all__ = ["ALIKE", "clusters", "near"]

ALIKE = 0.8
"""Jaccard index from which two prompts count as one; ours."""
_LENGTH = 4
_WORD = re.compile(r"\w+")


def clusters(texts: Sequence[str]) -> list[int]:
    """Return the number of each text's cluster, 0, 1, ... in the order of first members."""
    if not texts:
        return []
    rows, columns = _alike(texts, texts)
    pairs = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(texts), len(texts)))
    labels = connected_components(pairs, directed=False)[1].tolist()
    order = {label: n for n, label in enumerate(dict.fromkeys(labels))}
    return [order[label] for label in labels]


def near(texts: Sequence[str], others: Sequence[str]) -> set[int]:
    """Return the places of the texts that are near-duplicates of one of ``others``."""
    return set(_alike(texts, others)[0].tolist()) if texts and others else set()


def _alike(texts: Sequence[str], others: Sequence[str]) -> tuple[Any, Any]:
    """Return the places of each pair of near-duplicates."""
    known: dict[str, int] = {}
    held, against = (_held(each, known) for each in (texts, others))
    held.resize((len(texts), len(known)))
    shared = (held @ against.T).tocoo()
    sizes, theirs = np.diff(held.indptr), np.diff(against.indptr)
    union = sizes[shared.row] + theirs[shared.col] - shared.data
    alike = shared.data >= ALIKE * union
    return shared.row[alike], shared.col[alike]


def _held(texts: Sequence[str], known: dict[str, int]) -> csr_array:
    """Return which pieces each text has, ``[texts, pieces]``; new pieces are added to ``known``."""
    pieces = [_pieces(text) for text in texts]
    columns = [known.setdefault(piece, len(known)) for own in pieces for piece in own]
    ends = np.cumsum([0, *map(len, pieces)])
    return csr_array(
        (np.ones(len(columns), dtype=np.int32), columns, ends), shape=(len(texts), len(known))
    )


def _pieces(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = f" {' '.join(_WORD.findall(plain)) or plain} "
    return sorted({words[n : n + _LENGTH] for n in range(max(1, len(words) - _LENGTH + 1))})
