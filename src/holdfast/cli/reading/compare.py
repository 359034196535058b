# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast compare``: the arms that two results have in common, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.shell.console import print_json, print_table, working
from holdfast.cli.shell.options import JsonFlag

__all__ = ["compare"]


def compare(
    a: Annotated[Path, typer.Argument(help="Result folder, or its result.json.")],
    b: Annotated[Path, typer.Argument(help="The other one.")],
    json: JsonFlag = False,
) -> None:
    """Compare two results: harmful score, over-refusal and task accuracy of every arm in both."""
    from holdfast.comparisons.two_results import compare_results, load_result

    with working(as_json=json):
        found = compare_results(load_result(a), load_result(b), (str(a), str(b)))
    if json:
        print_json(found.as_json())
        return
    from holdfast.report.two_results import render_comparison

    print_table(render_comparison(found))
