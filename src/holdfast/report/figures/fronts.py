"""Safety against utility under one attack: a curve for each family over its strength."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.evaluation.interval import Interval
from holdfast.report.figures.looks import LINES, MARKERS, Look
from holdfast.report.figures.svg import INK, MUTED, SERIES, styled, to_svg
from holdfast.results.comparisons import Front, FrontRow
from holdfast.results.records import PLAIN, Arm

__all__ = ["front_picture", "mark"]

SPAN = 40.0
"""Fewest points of accuracy the axis shows, so that small differences look small."""
Runs = Mapping[str, Arm]
"""The arms of the front's attack by name, for the dots of their seeds."""


def front_picture(front: Front, runs: Runs, looks: Mapping[str, Look], name: str) -> str:
    """Return the picture: bars are 95% intervals, dots single seeds, rings the Pareto front.

    Args:
        front: What is drawn.
        runs: Arms by name.
        looks: How each family looks, and plain fine-tuning.
        name: Unique on the page; prefixes every id.
    """
    rows = {row.defense: row for row in front.rows}
    on_curves = {member for members in front.curves.values() for member in members}
    others = [row for row in front.rows if row.defense not in on_curves | {PLAIN}]
    with styled(4.0) as (figure, [axes]):
        axes.plot(*_places(others), "x", color=MUTED, markersize=5, linestyle="none")
        for family, members in front.curves.items():
            _family(axes, [rows[one] for one in members], runs, looks[family])
        if PLAIN in rows:
            _marks(axes, [rows[PLAIN]], runs, looks[PLAIN], size=8)
        best = [row for row in front.rows if row.on_front]
        axes.plot(*_places(best), "o", color=INK, markersize=13, fillstyle="none", linestyle="none")
        lowest = min(100 * row.fa.low for row in front.rows)
        axes.set(xlabel="harmful score, % (less is safer)", ylabel="task accuracy, %")
        axes.set(xlim=(-4, 104), ylim=(max(-4, min(lowest - 4, 102 - SPAN)), 104))
    return to_svg(figure, name, "Harmful score against task accuracy of every family and strength")


def mark(
    axes: Any, hs: Interval, fa: Interval, look: Look, size: float = 8, **style: float
) -> None:
    """Draw one arm with its two intervals, in percent."""
    x, y = 100 * hs.value, 100 * fa.value
    axes.errorbar(
        [x], [y],
        xerr=[[max(0.0, x - 100 * hs.low)], [max(0.0, 100 * hs.high - x)]],
        yerr=[[max(0.0, y - 100 * fa.low)], [max(0.0, 100 * fa.high - y)]],
        fmt=MARKERS[look.shape], color=SERIES[look.color], markersize=size,
        **{"elinewidth": 1.2, **style},
    )  # fmt: skip


def _family(axes: Any, rows: Sequence[FrontRow], runs: Runs, look: Look) -> None:
    """Draw one family from plain fine-tuning to its largest strength."""
    axes.plot(*_places(rows), LINES[look.line], color=SERIES[look.color], linewidth=1.4)
    _marks(axes, [row for row in rows if row.defense != PLAIN], runs, look)


def _marks(axes: Any, rows: Sequence[FrontRow], runs: Runs, look: Look, size: float = 6) -> None:
    """Draw means with their intervals, and the seeds faintly."""
    color = SERIES[look.color]
    for row in rows:
        arm = runs.get(row.defense)
        pairs = [
            (100 * run.shares["hs"].value, 100 * run.shares["fa"].value)
            for run in (arm.runs if arm else [])
            if {"hs", "fa"} <= run.shares.keys()
        ]
        if pairs:
            axes.plot(*zip(*pairs, strict=True), "o", color=color, markersize=2.4, alpha=0.4)
        mark(axes, row.hs, row.fa, look, size, elinewidth=0.8, alpha=0.95)


def _places(rows: Sequence[FrontRow]) -> tuple[list[float], list[float]]:
    """Return where rows lie: harmful scores and accuracies in percent."""
    return [100 * row.hs.value for row in rows], [100 * row.fa.value for row in rows]
