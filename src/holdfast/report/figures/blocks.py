"""A defense's curve: a plot for each series, a line for each seed."""

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from matplotlib.figure import Figure

from holdfast.artifact import Curve
from holdfast.report.figures.svg import INK, SERIES, styled, to_svg

__all__ = ["curve_picture"]

WIDTH = 5.0
FITS = 60
"""Characters of a plot's title; longer ones are cut, a figure has no room for a second line."""


def curve_picture(curves: Sequence[Curve], color: int, name: str) -> str | None:
    """Return the picture, or None where no series has a value; rings mark what was chosen.

    Args:
        curves: One for each seed.
        color: Index of the arm's color.
        name: Unique on the page; prefixes every id.
    """
    titles = list(dict.fromkeys(title for curve in curves for title in _drawn(curve)))
    if not titles:
        return None
    with styled():
        figure = Figure(figsize=(WIDTH, 1.0 + 1.6 * len(titles)), layout="constrained")
        grid = figure.subplots(len(titles), 1, sharex=True, squeeze=False)
        for axes, title in zip(grid[:, 0], titles, strict=True):
            axes.set_title(shorten(title, FITS, placeholder="…"))
            for curve in curves:
                if title in curve.series:
                    _line(axes, curve, title, SERIES[color])
            axes.ticklabel_format(axis="y", scilimits=(-3, 4))
            low, high = axes.get_ylim()
            if 0 < low < high / 2:  # What is twice as much is to look twice as high.
                axes.set_ylim(bottom=0)
        if all(x == int(x) for curve in curves for x in curve.x):
            grid[-1, 0].xaxis.get_major_locator().set_params(integer=True)
        grid[-1, 0].set_xlabel(shorten(curves[0].axis, FITS, placeholder="…"))
    return to_svg(figure, name, curves[0].title)


def _drawn(curve: Curve) -> list[str]:
    """Return the series with a value."""
    return [name for name, line in curve.series.items() if any(y is not None for y in line)]


def _line(axes: Any, curve: Curve, title: str, color: str) -> None:
    """Draw one seed's line with its bars, and a ring where the defense chose."""
    spread = curve.spread.get(title) or (None,) * len(curve.x)
    rows = sorted(
        (x, y, bar or 0.0)
        for x, y, bar in zip(curve.x, curve.series[title], spread, strict=True)
        if y is not None
    )
    at = [x for x, *_ in rows]
    values = [y for _, y, _ in rows]
    bars = [bar for *_, bar in rows]
    axes.errorbar(
        at, values, yerr=bars if any(bars) else None, fmt=".-", color=color,
        linewidth=1.2, capsize=3,
    )  # fmt: skip
    ring = [(x, y) for x, y, _ in rows if x == curve.marked]
    if ring:
        hollow = {"markersize": 11, "fillstyle": "none", "color": INK, "clip_on": False}
        axes.plot(*zip(*ring, strict=True), "o", **hollow)
