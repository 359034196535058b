# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast claims``: what papers report beside what a bench measured, with a verdict."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.shell.console import print_json, print_rows, say, working
from holdfast.cli.shell.options import JsonFlag

__all__ = ["claims"]


def claims(
    result: Annotated[
        list[Path], typer.Argument(help="The result.json of a bench, or of several, with answers.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for one JSON file per paper; none is written else.")
    ] = None,
    second: Annotated[
        Path | None, typer.Option(help="The same bench's result on another architecture.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Judge the papers' claims on a bench's result: holds, in part, does not, not comparable."""
    from holdfast.claims.judge import claims_rows, judge, write_claims
    from holdfast.claims.multiplicity import multiplicity
    from holdfast.results.result import RunResult

    with working(as_json=json):
        other = None if second is None else RunResult.load(second)
        judged = judge([RunResult.load(path) for path in result], second=other)
        paths = [] if out is None else write_claims(judged, out)
    rows = claims_rows(judged)
    if json:
        print_json({"claims": rows, "number": multiplicity(judged), "files": list(map(str, paths))})
    else:
        shown = ("paper", "claim", "verdict", "reason")
        print_rows("Claims; verdicts are over seeds", [{k: row[k] for k in shown} for row in rows])
    for line in [multiplicity(judged), *(f"claims: {path}" for path in paths)]:
        say(line)
