"""Report: the result file, the page and the terminal table made from it."""

from holdfast.report.page import write_report
from holdfast.report.terminal import render_table
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["Arm", "RunResult", "SeedRun", "render_table", "write_report"]
