"""Row weights: rows that the aligned model would rather refuse are learned less."""

from holdfast.defenses.row_weights.row_weights import RowWeights
from holdfast.defenses.row_weights.scores import refusal_scores
from holdfast.defenses.row_weights.weighing import (
    effective_rows,
    micro_batch_weights,
    static_weights,
    weighted_term,
)

__all__ = [
    "RowWeights", "effective_rows", "micro_batch_weights", "refusal_scores", "static_weights",
    "weighted_term",
]  # fmt: skip
