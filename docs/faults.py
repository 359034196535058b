"""The table of faults found in use: row → what was wrong → the tests that hold it mended."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ROWS", "faults_table", "holding_tests"]

ROWS = {"A": 7, "B": 14, "C": 4, "D": 12, "E": 14, "F": 10}
"""How many rows each part of the list of faults has; row 3 of part A is ``A3``."""
_SAID = re.compile(r"Fault ([A-F]\d+): ((?:[^.]|\.(?=\S))*)")


def holding_tests(tests: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Return row → (file, test, what was wrong), from docstrings that say ``Fault A1: …``."""
    found: dict[str, list[tuple[str, str, str]]] = {
        f"{part}{number}": [] for part, count in ROWS.items() for number in range(1, count + 1)
    }
    for file in sorted(tests.rglob("test_*.py")):
        for test in _tests(ast.parse(file.read_text())):
            for row, said in _SAID.findall(" ".join((ast.get_docstring(test) or "").split())):
                place = file.relative_to(tests.parent).as_posix()
                found.setdefault(row, []).append((place, test.name, said))
    return found


def _tests(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def faults_table(tests: Path) -> str:
    """Return one line for each row, with the file of each test once."""
    lines = ["| row | what 59f21ea did | held by |", "|---|---|---|"]
    for row, places in holding_tests(tests).items():
        wrong = "; ".join(dict.fromkeys(said for _, _, said in places)).replace("|", "\\|")
        files: dict[str, list[str]] = {}
        for file, name, _ in places:
            files.setdefault(file, []).append(f"`{name}`")
        held = "<br>".join(f"`{file}`: {', '.join(names)}" for file, names in files.items())
        lines.append(f"| {row} | {wrong} | {held} |")
    return "\n".join(lines)
