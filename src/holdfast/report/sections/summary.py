"""The top of the page: what was found, in words, and the warnings."""

from typing import Any

from holdfast.report.answers import answers, warnings_of
from holdfast.report.bench_answers import bench_answers
from holdfast.report.shown import Shown

__all__ = ["section"]

WARNINGS = 8
"""More warnings than this are folded; ours."""


def section(shown: Shown) -> dict[str, Any]:
    """Return the answers, the first warnings and the others."""
    told = bench_answers(shown.bench) if shown.several else []
    warnings = warnings_of(shown.result)
    some = {"warnings": warnings[:WARNINGS], "more": warnings[WARNINGS:]}
    return {"answers": told or answers(shown.result), **some}
