"""One arm's dose-response curve as a small SVG: harmful score above, task accuracy below.

A page holds a hundred of these, so they are written here and not by matplotlib, whose pictures are
eight times as large. The band is the 95% interval, dots are single seeds, and the dashed line is
plain fine-tuning under the same attacks. Coordinates are pixels, y downward.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

from holdfast.comparisons.doses import Dose
from holdfast.evaluation.metrics import Figure
from holdfast.report.figures.looks import Look
from holdfast.results.attacks import short
from holdfast.results.records import PLAIN, Arm

__all__ = ["panel"]

WIDTH, HEIGHT = 180, 218
LEFT, RIGHT = 28, 172
TALL = 72
"""Height of each of the two plots."""
TOPS: tuple[tuple[Figure, str, float], ...] = (
    ("hs", "harmful score, %", 20),
    ("fa", "task accuracy, %", 122),
)
ROOM = 40
"""Pixels that the middle tick's label needs on both sides."""
Points = Sequence[tuple[float, Arm]]
"""(pixel, arm) from left to right."""


def panel(dose: Dose, defense: str, looks: Mapping[str, Look]) -> str:
    """Return one arm's picture; plain fine-tuning stands behind it where it was measured."""
    own = _placed(dose, dose.curves[defense])
    behind = _placed(dose, dose.curves.get(PLAIN, [])) if defense != PLAIN else []
    color = f"var({looks[defense].variable})"
    parts: list[str] = []
    for figure, title, top in TOPS:
        plain = _line(behind, figure, top, f"var({looks[PLAIN].variable})", behind=True)
        parts += [_frame(title, top), plain, _band(own, figure, top, color)]
        parts += [_seeds(own, figure, top, color), _line(own, figure, top, color)]
    label = escape(f"{defense}: harmful score and task accuracy by {dose.title}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{label}" font-size="11.5" fill="var(--muted)">'
        f"{''.join(parts)}{_ticks(dose)}</svg>"
    )


def _placed(dose: Dose, points: Sequence[tuple[float, Arm]]) -> Points:
    return [(_x(dose, value), arm) for value, arm in points]


def _x(dose: Dose, value: float) -> float:
    """Return where a value lies: shares from zero, all else by its logarithm."""
    values = [x for points in dose.curves.values() for x, _ in points]
    low, high = min(values), max(values)
    even = dose.knob == "p" or low <= 0
    part = (value - low) / (high - low) if even else math.log(value / low) / math.log(high / low)
    return round(LEFT + 6 + part * (RIGHT - LEFT - 12), 1)


def _y(share: float, top: float) -> float:
    return round(top + TALL * (1 - share), 1)


def _frame(title: str, top: float) -> str:
    """Return a plot's title and its lines at 0, 50 and 100 percent."""
    lines = "".join(
        f'<path d="M{LEFT} {_y(share, top)}H{RIGHT}" stroke="var(--line)"/>'
        f'<text x="{LEFT - 4}" y="{_y(share, top) + 4}" text-anchor="end">{share * 100:.0f}</text>'
        for share in (0, 0.5, 1)
    )
    return f'<text x="0" y="{top - 8}" fill="var(--ink)">{title}</text>{lines}'


def _shown(points: Points, figure: Figure) -> Points:
    return [(x, arm) for x, arm in points if figure in arm.figures]


def _line(points: Points, figure: Figure, top: float, color: str, *, behind: bool = False) -> str:
    """Return the line through the means; dashed and thin ``behind`` the arm's own."""
    at = [f"{x} {_y(arm.figures[figure].value, top)}" for x, arm in _shown(points, figure)]
    if not at:
        return ""
    kind = 'stroke-width="1.2" stroke-dasharray="4 3"' if behind else 'stroke-width="1.8"'
    return f'<path d="M{"L".join(at)}" fill="none" stroke="{color}" {kind}/>'


def _band(points: Points, figure: Figure, top: float, color: str) -> str:
    """Return the intervals as an area."""
    shown = _shown(points, figure)
    if not shown:
        return ""
    upper = [f"{x} {_y(arm.figures[figure].high, top)}" for x, arm in shown]
    lower = [f"{x} {_y(arm.figures[figure].low, top)}" for x, arm in reversed(shown)]
    return f'<path d="M{"L".join([*upper, *lower])}Z" fill="{color}" opacity=".18"/>'


def _seeds(points: Points, figure: Figure, top: float, color: str) -> str:
    """Return a dot for each seed."""
    dots = [
        f'<circle cx="{x}" cy="{_y(run.shares[figure].value, top)}" r="1.5"/>'
        for x, arm in points
        for run in arm.runs
        if figure in run.shares
    ]
    return f'<g fill="{color}" opacity=".6">{"".join(dots)}</g>' if dots else ""


def _ticks(dose: Dose) -> str:
    """Return the values below the lower plot: the first, the middle one and the last."""
    values = sorted({x for points in dose.curves.values() for x, _ in points})
    first, middle, last = values[0], values[len(values) // 2], values[-1]
    room = min(_x(dose, middle) - _x(dose, first), _x(dose, last) - _x(dose, middle))
    few = [first, middle, last] if room > ROOM else [first, last]
    anchors = {few[0]: ("start", -6.0), few[-1]: ("end", 6.0)}
    y = TOPS[-1][2] + TALL + 16
    ticks = [(value, *anchors.get(value, ("middle", 0.0))) for value in few]
    return "".join(
        f'<text x="{_x(dose, value) + nudge}" y="{y}" text-anchor="{anchor}">'
        f"{_told(dose, value)}</text>"
        for value, anchor, nudge in ticks
    )


def _told(dose: Dose, value: float) -> str:
    if dose.knob == "p":
        return f"{100 * value:g}%"
    return short(round(value, 2) if value > 1 else value)
