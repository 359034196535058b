"""The files of a result and of its gate: ``gate.json`` first, the others made of it."""

import json
from pathlib import Path

from holdfast.files.whole import write_whole
from holdfast.report.page import write_report
from holdfast.report.release.junit import junit
from holdfast.report.release.sarif import sarif
from holdfast.results.gating.records import Gate
from holdfast.results.result import RunResult

__all__ = ["GATE", "JUNIT", "SARIF", "write_gate", "write_release"]

GATE, JUNIT, SARIF = "gate.json", "gate.junit.xml", "gate.sarif"


def write_release(result: RunResult, folder: Path, *, show_harmful: bool = False) -> None:
    """Write a result and its page into a folder, and the verdict where there is one.

    Raises:
        RunError: The folder cannot be written.
    """
    result.save(folder / "result.json")
    write_report(result, folder / "report.html", show_harmful=show_harmful)
    if result.gate is not None:
        write_gate(result.gate, folder)


def write_gate(gate: Gate, folder: Path) -> None:
    """Write a verdict into a folder: JSON, JUnit XML and SARIF.

    Raises:
        RunError: The folder cannot be written.
    """
    write_whole(folder / GATE, gate.model_dump_json(indent=1) + "\n")
    write_whole(folder / JUNIT, junit(gate))
    write_whole(folder / SARIF, json.dumps(sarif(gate), indent=1) + "\n")
