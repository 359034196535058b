"""A defense's curve: a plot for each series, a line for each seed."""

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from holdfast.artifact import Curve
from holdfast.report.figures.svg import INK, SERIES, styled, to_svg

__all__ = ["curve_picture"]

FITS = 60
"""Characters of a plot's title; longer ones are cut, a figure has no room for a second line."""


def curve_picture(curves: Sequence[Curve], color: int, name: str) -> str | None:
    """Return the picture, or None where no series has a value; rings mark what was chosen.

    Args:
        curves: One for each seed.
        color: Index of the arm's color.
        name: Unique on the page; prefixes every id.
    """
    series = [one for curve in curves for one in curve.series.items()]
    titles = list(dict.fromkeys(name for name, line in series if any(y is not None for y in line)))
    if not titles:
        return None
    with styled(1.0 + 1.6 * len(titles), len(titles)) as (figure, plots):
        for axes, title in zip(plots, titles, strict=True):
            axes.set_title(shorten(title, FITS, placeholder="…"))
            for curve in curves:
                if title in curve.series:
                    _line(axes, curve, title, SERIES[color])
            axes.ticklabel_format(axis="y", scilimits=(-3, 4))
            low, high = axes.get_ylim()
            if 0 < low < high / 2:  # What is twice as much is to look twice as high.
                axes.set_ylim(bottom=0)
        if all(x == int(x) for curve in curves for x in curve.x):
            plots[-1].xaxis.get_major_locator().set_params(integer=True)
        plots[-1].set_xlabel(shorten(curves[0].axis, FITS, placeholder="…"))
    return to_svg(figure, name, curves[0].title)


def _line(axes: Any, curve: Curve, title: str, color: str) -> None:
    """Draw one seed's line with its bars, and a ring where the defense chose."""
    spread = curve.spread.get(title) or (None,) * len(curve.x)
    rows = sorted(
        (x, y, bar or 0.0)
        for x, y, bar in zip(curve.x, curve.series[title], spread, strict=True)
        if y is not None
    )
    at, values, bars = zip(*rows, strict=True)
    axes.errorbar(
        at, values, yerr=bars if any(bars) else None, fmt=".-", color=color,
        linewidth=1.2, capsize=3,
    )  # fmt: skip
    ring = [(x, y) for x, y, _ in rows if x == curve.marked]
    if ring:
        hollow = {"markersize": 11, "fillstyle": "none", "color": INK, "clip_on": False}
        axes.plot(*zip(*ring, strict=True), "o", **hollow)
