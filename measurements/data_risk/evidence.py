"""What a study shows of one column: its order of the harmless sets, and its row test."""

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.isotonic import IsotonicRegression

from holdfast.analysis.rows.calibration import Evidence
from measurements.data_risk.row_test import SEEDS

__all__ = ["evidence"]


def evidence(
    name: str,
    found: Mapping[str, Any],
    harmless: Sequence[Mapping[str, Any]],
    won: Sequence[int] | None,
) -> Evidence:
    """Return the evidence for the column ``name``.

    Args:
        name: The column.
        found: What ``stratum`` returns of the sets without a harmful row.
        harmless: These sets.
        won: Seeds in which the column won its row test and of how many; it counts when all ran.
    """
    got, order = found["scores"][name], sorted(harmless, key=lambda row: row[name])
    values, harm = [row[name] for row in order], [row["hs"] for row in order]
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(values, harm)
    return Evidence(
        got["rho"] and tuple(got["rho"]), found["sets"],
        got["over_baseline"] and tuple(got["over_baseline"]), found["baseline"],
        (won[0], won[1]) if won and won[1] == len(SEEDS) else None,
        tuple(map(float, values)), tuple(map(float, fitted)),
    )  # fmt: skip
