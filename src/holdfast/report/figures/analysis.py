"""The pictures of an analysis: mean score by type and by depth, each with its interval."""

from collections.abc import Sequence

from holdfast.analysis.patterns import GroupMean
from holdfast.report.figures.svg import SERIES, styled, to_svg

__all__ = ["means"]

BLUE = SERIES[4]


def means(rows: Sequence[GroupMean], name: str, label: str, unit: str) -> str:
    """Return the means with their intervals as an SVG.

    Args:
        rows: In the order of the axis.
        name: Unique on the page.
        label: Of the axis.
        unit: What a score is.
    """
    places = range(len(rows))
    values = [row.mean for row in rows]
    below = [max(0.0, row.mean - row.low) for row in rows]
    above = [max(0.0, row.high - row.mean) for row in rows]
    with styled(2.9) as (figure, [axes]):
        axes.errorbar(places, values, yerr=[below, above], fmt="o", color=BLUE, capsize=3)
        step = max(1, len(rows) // 12)
        axes.set_xticks(list(places)[::step], [row.group for row in rows][::step])
        axes.set(xlabel=label, ylabel=unit)
        axes.set_xlim(-0.5, len(rows) - 0.5)
        axes.set_ylim(bottom=min(0.0, *(row.low for row in rows)))
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        axes.grid(visible=False, axis="x")
    return to_svg(figure, name, f"Mean {unit} by {label}, with 95 % intervals")
