"""Fits the learned judge's two logistic regressions: refused or not, and in part or in full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from holdfast.evaluation.judges.folding import folded
from holdfast.evaluation.judges.refusal.features import features
from holdfast.evaluation.judges.refusal.meaning import FIRST, MEAN
from holdfast.evaluation.judges.refusal.weights import Weights
from measurements.refusal_judge.compose import PARTIAL, Row
from measurements.refusal_judge.families import HALVES
from measurements.refusal_judge.words import vectors

__all__ = ["GRID", "Settings", "Table", "read"]

SMALL = 0.004
"""Smaller weights are left out of what ships: 200 of them do not move a verdict."""
SMALL_WORD = 0.04
"""The same for the weights of words, whose shares are small."""


@dataclass(frozen=True)
class Settings:
    """What is chosen by leaving models out, never by the fold that is tested."""

    c: float
    """Inverse strength of the L2 penalty."""
    own: float
    """What a composed row of ours weighs beside one of a model."""
    family: float
    """What an answer that we wrote weighs."""


GRID = [Settings(c, 0.25, family) for c in (0.1, 0.2) for family in (0.25, 0.5)]
"""Stronger penalties first: of equal settings the first is taken."""


def read(rows: Sequence[Row]) -> list[dict[str, float]]:
    """Return the features of each row."""
    return [features(folded(row.question), folded(row.answer)) for row in rows]


class Table:
    """The features of all rows, n-grams and signals sparse, words through their vectors."""

    def __init__(self, rows: Sequence[Row], given: Sequence[Mapping[str, float]]) -> None:
        self.refused = np.array([row.refused for row in rows])
        self.partial = np.array([row.label == PARTIAL for row in rows])
        self.sources = np.array([row.source for row in rows])
        plain = [{k: v for k, v in one.items() if not k.startswith((FIRST, MEAN))} for one in given]
        vectorizer = DictVectorizer(sort=True)
        self.grams: Any = vectorizer.fit_transform(plain).tocsr()
        self.names = vectorizer.get_feature_names_out()
        self.words = np.hstack([_meant(given, kind) for kind in (FIRST, MEAN)])

    def fitted(self, kept: Sequence[int], settings: Settings) -> Weights:
        """Return the weights fitted on some of the rows; rare n-grams are left out."""
        place, often = np.array(kept), self._often(kept)
        table, refused = self._columns(kept, often), self.refused[place]
        weigh = self._weighed(place, settings)
        heads = [
            _head(table[chosen], labels[chosen], weigh[chosen], settings)
            for chosen, labels in (
                (np.ones(len(kept), bool), refused), (refused, self.partial[place]),
            )
        ]  # fmt: skip
        (first, first_bias), (second, second_bias) = heads
        found = _named(self.names[often], first, second, SMALL) | _spread(first, second)
        return Weights(found, (round(first_bias, 3), round(second_bias, 3)))

    def judged(self, kept: Sequence[int], held: Sequence[int], settings: Settings) -> list[bool]:
        """Return which of the held rows a fit on the kept ones calls refusals, sooner."""
        place, often = np.array(kept), self._often(kept)
        weigh = self._weighed(place, settings)
        found, bias = _head(self._columns(kept, often), self.refused[place], weigh, settings)
        return [bool(one) for one in self._columns(held, often) @ found + bias > 0]

    def _often(self, kept: Sequence[int]) -> Any:
        return np.asarray((self.grams[kept] != 0).sum(axis=0)).ravel() >= 2

    def _columns(self, kept: Sequence[int], often: Any) -> Any:
        words = self.words[np.array(kept)]
        table: Any = sparse.hstack([self.grams[kept][:, often], words]).tocsr()
        table.indices, table.indptr = table.indices.astype(np.int32), table.indptr.astype(np.int32)
        return table

    def _weighed(self, place: Any, settings: Settings) -> Any:
        sources = self.sources[place]
        weigh = np.where(sources == "own", settings.own, 1.0)
        return np.where(np.isin(sources, HALVES), settings.family, weigh)


def _meant(given: Sequence[Mapping[str, float]], kind: str) -> Any:
    """Return [rows, 64]: the mean of the vectors of the words, by their shares."""
    known = vectors()
    nothing = np.zeros(len(next(iter(known.values()))))
    meant = [
        sum(
            (share * known.get(name[len(kind) :], nothing)
             for name, share in one.items() if name.startswith(kind)),
            nothing,
        )
        for one in given
    ]  # fmt: skip
    return np.array(meant)


def _spread(first: Any, second: Any) -> dict[str, tuple[float, float]]:
    """Return the weight of each word, w = B u, with u the last weights of each regression."""
    table, names = np.array(list(vectors().values())), list(vectors())
    size = table.shape[1]
    found: dict[str, tuple[float, float]] = {}
    for kind, ends in ((FIRST, (-2 * size, -size)), (MEAN, (-size, None))):
        chosen = slice(*ends)
        words = [kind + name for name in names]
        found |= _named(words, table @ first[chosen], table @ second[chosen], SMALL_WORD)
    return found


def _named(names: Any, first: Any, second: Any, small: float) -> dict[str, tuple[float, float]]:
    return {
        str(name): (round(float(one), 3), round(float(two), 3))
        for name, one, two in zip(names, first[: len(names)], second[: len(names)], strict=True)
        if abs(one) >= small or abs(two) >= small
    }


def _head(table: Any, labels: Any, weigh: Any, settings: Settings) -> tuple[Any, float]:
    model = LogisticRegression(C=settings.c, solver="liblinear", max_iter=500)
    model.fit(table, labels, sample_weight=weigh)
    return model.coef_[0], float(model.intercept_[0])
