"""Report: the result file, the page and the terminal table made from it."""

from holdfast.report.html import write_report
from holdfast.report.records import Arm, SeedRun
from holdfast.report.result import RunResult
from holdfast.report.terminal import render_table

__all__ = ["Arm", "RunResult", "SeedRun", "render_table", "write_report"]
