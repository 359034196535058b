"""Safe-data mixing: the baseline to beat."""

from holdfast.defenses.safe_mixing.gap import (
    perplexity_gap,
    row_gaps,
    without_refusals,
    write_gap_rows,
)
from holdfast.defenses.safe_mixing.relevance import relevant_rows
from holdfast.defenses.safe_mixing.safe_mixing import SafeMixing, rows_to_add
from holdfast.defenses.safe_mixing.style import shared_style

__all__ = [
    "SafeMixing", "perplexity_gap", "relevant_rows", "row_gaps", "rows_to_add", "shared_style",
    "without_refusals", "write_gap_rows",
]  # fmt: skip
