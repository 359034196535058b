"""What the terminal says of a bench: before it runs and after."""

from pathlib import Path
from typing import Any

from holdfast.cli.shell.console import print_json, print_lines, print_result, say
from holdfast.errors import RunError

__all__ = ["tell_bench", "tell_cells", "tell_failed"]


def tell_cells(
    outlook: tuple[str, list[dict[str, Any]], list[str]], minutes: float | None, *, as_json: bool
) -> None:
    """Print the cells that would run: what :func:`holdfast.bench.dry_run.outlook` gave."""
    said, rows, lines = outlook
    say(said)
    if as_json:
        print_json({"cells": rows, "minutes": minutes})
    else:
        print_lines(lines)


def tell_bench(result: Any, outcome: Any, out: Path, *, as_json: bool) -> None:
    """Print a bench's result and warnings, and where they lie."""
    from holdfast.report.answers import warnings_of  # noqa: PLC0415  # Heavy.

    if as_json:
        rows = [] if result is None else result.rows()
        warnings = [*outcome.warnings, *([] if result is None else warnings_of(result))]
        told = {"rows": rows, "failed": outcome.failed, "warnings": list(dict.fromkeys(warnings))}
        print_json({"output": str(out), **told})
    elif result is not None:
        print_result(result)
    for warning in outcome.warnings:
        say(f"warning: {warning}")
    if result is not None:
        say(f"table: {out / 'table.csv'}\nreport: {out / 'report.html'}")
        if result.real_model:
            say(f"{out / 'shared'} holds models tuned on harmful rows: never release them")


def tell_failed(cells: Any, failed: Any, count: int, out: Path) -> None:
    """Say which of ``count`` cells failed and why; none is fine.

    Raises:
        RunError: Some did.
    """
    if not failed:
        return
    for cell in (cell for cell in cells if cell.key in failed):
        say(f"failed: {cell.key} {cell.label}: {failed[cell.key]}")
    raise RunError(
        f"{len(failed)} of {count} cells failed; the others are kept in {out}; the same command "
        "runs the failed ones again"
    )
