"""What another evaluation program measured, with all that its figures hang on."""

from typing import Any

from holdfast.report.shown import Shown
from holdfast.results.words import DASH, score

__all__ = ["section"]


def section(shown: Shown) -> dict[str, Any] | None:
    """Return one row for each figure of each task."""
    found = shown.result.benchmarks
    if found is None:
        return None
    rows = [
        (one.task, one.metric, score(one.value), score(one.stderr), one.n or DASH,
         DASH if one.shots is None else one.shots, one.version)
        for one in found.scores
    ]  # fmt: skip
    return {"found": found, "rows": rows}
