"""Matplotlib figures as inline SVG that takes its colors and its font from the page.

A page in dark mode cannot recolor a picture, but it can set CSS variables. Figures are drawn with
stand-in colors, one for each variable, and the stand-ins are replaced in the SVG.
"""

import io
import re
from collections.abc import Generator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GRID", "INK", "MUTED", "SERIES", "styled", "to_svg"]

INK, MUTED, GRID = "#010203", "#010204", "#010205"
SERIES = tuple(f"#0a0b{n:02x}" for n in range(1, 9))
"""Stand-ins of ``--series-1`` … ``--series-8``; more arms than that start again."""

_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line"} | {
    color: f"--series-{n}" for n, color in enumerate(SERIES, start=1)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "holdfast", "text.parse_math": False,
    "font.size": 11.5, "axes.titlesize": 11.5, "axes.labelsize": 11.5,
    "xtick.labelsize": 11, "ytick.labelsize": 11, "axes.titlelocation": "left",
    "text.color": INK, "axes.titlecolor": INK, "axes.edgecolor": GRID, "axes.labelcolor": MUTED,
    "xtick.color": GRID, "ytick.color": GRID, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
    "grid.color": GRID, "grid.linewidth": 0.8, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.8,
}  # fmt: skip


@contextmanager
def styled(height: float, plots: int = 1) -> Generator[tuple["Figure", Any]]:
    """Give a figure and its plots, one below the other, to be drawn in the report's style.

    It is 5 inches wide: at a phone's width its text is still 11 pixels tall. The caller's own
    matplotlib settings come back.

    Args:
        height: Of the figure, in inches.
        plots: How many; they share their x-axis.
    """
    # A fifth of a second that only a picture needs.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_STYLE):
        figure = Figure(figsize=(5.0, height), layout="constrained")
        yield figure, figure.subplots(plots, 1, sharex=True, squeeze=False)[:, 0]


def to_svg(figure: "Figure", name: str, label: str) -> str:
    """Return ``figure`` as an ``<svg>`` element.

    Args:
        figure: What to draw, made under ``styled()``.
        name: Unique on the page; prefixes every id.
        label: What a screen reader says.
    """
    from matplotlib import rc_context  # noqa: PLC0415

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return re.sub(r"<svg[^>]*>", lambda m: _opening(m.group(), label), text, count=1)


def _opening(tag: str, label: str) -> str:
    """Return the ``<svg>`` tag with its view box alone: the page sets the size."""
    box = re.search(r'viewBox="([^"]+)"', tag)
    view = box.group(1) if box else "0 0 360 260"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{view}" role="img" aria-label="{escape(label)}">'
    )
