"""Fits the learned judge's two logistic regressions: refused or not, and in part or in full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from holdfast.evaluation.judges.folding import folded
from holdfast.evaluation.judges.refusal.features import features
from holdfast.evaluation.judges.refusal.weights import Weights
from measurements.refusal_judge.compose import PARTIAL, Row

__all__ = ["GRID", "Settings", "fitted", "read"]

SMALL = 0.004
"""Smaller weights are left out of what ships: 200 of them do not move a verdict."""


@dataclass(frozen=True)
class Settings:
    """What is chosen by leaving models out, never by the fold that is tested."""

    c: float
    """Inverse strength of the L2 penalty."""
    own: float
    """What a row of ours weighs beside one of a model."""


GRID = [Settings(c, own) for c in (0.1, 0.3, 1.0) for own in (0.25, 0.5)]
"""Stronger penalties first: of equal settings the first is taken."""


def read(rows: Sequence[Row]) -> list[dict[str, float]]:
    """Return the features of each row."""
    return [features(folded(row.question), folded(row.answer)) for row in rows]


def fitted(
    rows: Sequence[Row], given: Sequence[Mapping[str, float]], settings: Settings
) -> Weights:
    """Return the weights fitted on rows with these features; rare features are left out."""
    vectorizer = DictVectorizer(sort=True)
    table: Any = vectorizer.fit_transform(given)
    table.indices, table.indptr = table.indices.astype(np.int32), table.indptr.astype(np.int32)
    often = np.asarray((table != 0).sum(axis=0)).ravel() >= 2
    names = vectorizer.get_feature_names_out()[often]
    weigh = np.array([settings.own if row.source == "own" else 1.0 for row in rows])
    refused = np.array([row.refused for row in rows])
    partial = np.array([row.label == PARTIAL for row in rows])
    heads = [
        _head(table[keep][:, often], labels[keep], weigh[keep], settings)
        for keep, labels in ((np.ones(len(rows), bool), refused), (refused, partial))
    ]
    (first, first_bias), (second, second_bias) = heads
    kept = {
        str(name): (round(float(one), 3), round(float(two), 3))
        for name, one, two in zip(names, first, second, strict=True)
        if abs(one) >= SMALL or abs(two) >= SMALL
    }
    return Weights(kept, (round(first_bias, 3), round(second_bias, 3)))


def _head(table: Any, labels: Any, weigh: Any, settings: Settings) -> tuple[Any, float]:
    model = LogisticRegression(C=settings.c, solver="liblinear", max_iter=500)
    model.fit(table, labels, sample_weight=weigh)
    return model.coef_[0], float(model.intercept_[0])
