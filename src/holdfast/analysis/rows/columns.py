"""The scores of a data set's rows: one column for each component, kept apart.

In every column but the confounders a higher value says more risk. A row that could not be scored
(no answer token is left of it) has None, never a low score.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.errors import DataError

__all__ = [
    "COMPONENTS", "CONFOUNDERS", "NOT_VALIDATED", "TOP", "Column", "RowScores", "SetScore",
    "top_mean",
]  # fmt: skip

COMPONENTS = {
    "push": "nats per token and unit of weights: how far one step on the row pulls refusals down",
    "gap": "nats per token: how much better a jailbroken model explains the answer",
    "anchor": "cosine: nearer to harmful answers than to safe ones",
    "norm": "log of gradient and length (Self-Inf-N)",
}
CONFOUNDERS = {"length": "answer tokens", "loss": "nats per token of the answer"}
"""Columns that say nothing of risk and explain much of what other columns show."""
NOT_VALIDATED = "ranking signal, not validated on this model"
TOP = 0.05
"""Share of the rows, those of the highest scores, whose mean is the set's score."""


@dataclass(frozen=True)
class Column:
    """One component over all rows, in the order of the rows."""

    name: str
    values: tuple[float | None, ...]
    """None where a row cannot be scored."""
    percentiles: tuple[float | None, ...] = ()
    """Each row among the reference rows through the same model, in [0, 100]; empty without any."""

    @property
    def unit(self) -> str:
        """What the values are in."""
        return (COMPONENTS | CONFOUNDERS).get(self.name, "")

    @property
    def confounder(self) -> bool:
        """Whether the column is there to be held against, and says nothing of risk."""
        return self.name in CONFOUNDERS

    @property
    def scored(self) -> list[float]:
        """The values of the rows that have one."""
        return [value for value in self.values if value is not None]


@dataclass(frozen=True)
class SetScore:
    """One component of a whole data set."""

    value: float
    """Mean of the top 5 % of the rows; of ``mdf`` the change of the lead, in nats per token."""
    above: float | None = None
    """Share of the rows above the references' 99th percentile, in [0, 1]."""
    percentile: float | None = None
    """Where ``value`` stands among all reference rows, in [0, 100]."""
    references: Mapping[str, float] = field(default_factory=dict[str, float])
    """Reference set → its own score."""


@dataclass(frozen=True)
class RowScores:
    """All that is known of the rows of one data set, through one model."""

    columns: Mapping[str, Column]
    """``push``, ``gap``, ``anchor``, ``norm`` (those that were asked for), ``length``, ``loss``."""
    sets: Mapping[str, SetScore] = field(default_factory=dict[str, SetScore])
    """The data set's own score, by component; ``mdf`` stands here alone."""
    combined: tuple[float | None, ...] = ()
    """Mean rank over the components in [0, 1]; empty where no calibration of this base allows."""
    label: str = NOT_VALIDATED
    """What a calibration of this base says of the columns, in words."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """The same for each column that the calibration says something of."""
    notes: tuple[str, ...] = ()
    """What a reader has to know, such as "this model refuses nothing: no safety to lose here"."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the scores were made with: hashes, t, layers; JSON."""

    def __post_init__(self) -> None:
        """Refuse columns of different lengths and values that are no numbers."""
        lengths = {len(column.values) for column in self.columns.values()}
        lengths |= {len(c.percentiles) for c in self.columns.values() if c.percentiles}
        lengths |= {len(self.combined)} if self.combined else set()
        if len(lengths) > 1:
            raise DataError(f"row scores need one value a row; given columns of {sorted(lengths)}")
        for name, column in self.columns.items():
            wrong = next((n for n, v in enumerate(column.values) if _unfit(v)), None)
            if wrong is not None:
                raise DataError(
                    f"{name}, row {wrong + 1}: the score is {column.values[wrong]}; the model's "
                    "losses are not finite: check the model, or load it in float32"
                )

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return next((len(column.values) for column in self.columns.values()), 0)

    def row(self, at: int) -> dict[str, dict[str, float | None]]:
        """Return what is known of one row: component → value and percentile."""
        return {
            name: {
                "value": column.values[at],
                "percentile": column.percentiles[at] if column.percentiles else None,
            }
            for name, column in self.columns.items()
        }

    def document(self) -> dict[str, Any]:
        """Return all as JSON; no text of any row is in it."""
        return {
            "columns": {name: vars(column) for name, column in self.columns.items()},
            "sets": {name: vars(score) for name, score in self.sets.items()},
            "combined": list(self.combined),
            "label": self.label,
            "labels": dict(self.labels),
            "notes": list(self.notes),
            "facts": dict(self.facts),
        }


def top_mean(values: Sequence[float | None], share: float = TOP) -> float:
    """Return the mean of the highest ``share`` of the values, of one value at least.

    Raises:
        DataError: No row has a score.
    """
    scored = sorted((value for value in values if value is not None), reverse=True)
    if not scored:
        raise DataError("no row has a score: none of them has an answer token")
    top = scored[: max(1, math.ceil(share * len(scored)))]
    return math.fsum(top) / len(top)


def _unfit(value: float | None) -> bool:
    return value is not None and not math.isfinite(value)
