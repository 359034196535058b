"""The page of ``holdfast screen``: self-contained, no scripts, nothing asked of the network."""

from pathlib import Path

from holdfast.files.whole import write_whole
from holdfast.report.environment import environment
from holdfast.report.screening.words import NEVER, by_check, head, listed, set_risk, to_know, untold
from holdfast.results.screening.file import ScreenFile

__all__ = ["render_page", "write_page"]


def write_page(file: ScreenFile, path: Path, top: int) -> None:
    """Write the page, whole or not at all, with at most ``top`` rows."""
    write_whole(path, render_page(file, top))


def render_page(file: ScreenFile, top: int) -> str:
    """Return the page as text."""
    rows = listed(file, top)
    names = list(dict.fromkeys(name for row in rows for name in row.percentiles))
    every = sum(each.action != "keep" for each in file.screened)
    return environment().get_template("screen.html.j2").render(
        file=file, head=head(file), checks=by_check(file), known=to_know(file),
        untold=untold(file), risk=set_risk(file), rows=rows, names=names,
        never=NEVER, left=max(0, every - len(rows)),
    )  # fmt: skip
