"""What people read: pages, pictures and tables made from a result."""

from holdfast.report.page import write_report
from holdfast.report.terminal import render_table
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["Arm", "RunResult", "SeedRun", "render_table", "write_report"]
