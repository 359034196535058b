"""The report: one self-contained page without scripts, that asks nothing of the network.

A section is a module of ``sections`` with ``section(shown)``, which returns what its template of
the same name takes, or None where the result has nothing for it. Those of the closed loop are in
``sections/loop``.
"""

from importlib import import_module
from pathlib import Path

from markupsafe import Markup

from holdfast.files.whole import write_whole
from holdfast.report.environment import environment
from holdfast.report.shown import Shown
from holdfast.results.result import RunResult

__all__ = ["SECTIONS", "render", "write_report"]

SECTIONS = (
    "loop.release", "summary", "worst", "doses", "fronts", "arms", "loop.red_team", "judges",
    "benchmarks", "movement", "pictures", "blocks", "values", "trace", "samples", "configuration",
)  # fmt: skip
"""The sections in the page's order."""


def write_report(result: RunResult, path: str | Path, *, show_harmful: bool = False) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        result: What a run has measured.
        path: The HTML file.
        show_harmful: Show harmful prompts and answers of a real model instead of redacting them.

    Raises:
        RunError: The file cannot be written.
    """
    target = Path(path)
    write_whole(target, render(result, show_harmful=show_harmful))
    return target


def render(result: RunResult, *, show_harmful: bool = False) -> str:
    """Return the page as text."""
    shown = Shown.of(result, show_harmful=show_harmful)
    sections = [_section(name, shown) for name in SECTIONS]
    return environment().get_template("page.html.j2").render(shown=shown, sections=sections)


def _section(name: str, shown: Shown) -> Markup:
    """Return a section's markup, empty where the result has nothing for it."""
    found = import_module(f"holdfast.report.sections.{name}").section(shown)
    if found is None:
        return Markup()
    template = environment().get_template(f"sections/{name.replace('.', '/')}.html.j2")
    return Markup(template.render(shown=shown, **found))  # noqa: S704  # The template has escaped it.
