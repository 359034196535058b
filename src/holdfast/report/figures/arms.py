"""The pictures of a scenario's arms: safety against utility, losses.

Each function returns an inline SVG, or None where the result holds no data for it; legends are the
page's. It takes one scenario's arms, how each looks, a name that is unique on the page and prefixes
every id, and where: the scenario, for a screen reader.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from holdfast.report.figures.fronts import mark
from holdfast.report.figures.looks import LINES, MARKERS, Look
from holdfast.report.figures.svg import SERIES, styled, to_svg
from holdfast.results.records import BEFORE, Arm, LossCurve

__all__ = ["losses", "safety_utility"]

SPAN = 40.0
"""Fewest points of accuracy an axis shows, so that small differences look small."""
MARKS = 6
"""About how many marks a loss curve carries."""
Looks = Mapping[str, Look]
"""How an arm looks on this page, by the arm's defense."""


def safety_utility(
    arms: Sequence[Arm], looks: Looks, name: str = "utility", where: str = ""
) -> str | None:
    """Harmful score against fine-tuning accuracy, one mark for each arm, with its intervals.

    The untouched model is left out: it has not learned the task and would flatten the picture.
    """
    shown = [a for a in arms if a.defense != BEFORE and {"hs", "fa"} <= a.figures.keys()]
    if len(shown) < 2:
        return None
    with styled(3.6) as (figure, [axes]):
        for arm in shown:
            mark(axes, arm.figures["hs"], arm.figures["fa"], looks[arm.defense])
        axes.set(xlabel="harmful score, % (less is safer)", ylabel="fine-tuning accuracy, %")
        lowest = min(100 * arm.figures["fa"].low for arm in shown)
        axes.set(xlim=(-4, 104), ylim=(min(lowest - 4, 102 - SPAN), 102))
    label = "Harmful score against fine-tuning accuracy of every arm"
    return to_svg(figure, name, f"{label}, {where}" if where else label)


def losses(arms: Sequence[Arm], looks: Looks, name: str = "losses", where: str = "") -> str | None:
    """Every recorded loss by optimizer step: mean over seeds, with the seeds' range."""
    found = dict.fromkeys(c.name for arm in arms for run in arm.runs for c in run.losses)
    kinds = sorted(found, key=lambda kind: {"user": 0, "evaluation": 1, "harmful": 2}.get(kind, 3))
    if not kinds:
        return None
    with styled(0.8 + 2.1 * len(kinds), len(kinds)) as (figure, plots):
        for axes, kind in zip(plots, kinds, strict=True):
            axes.set_title(f"{kind} loss, nats per token")
            for arm in arms:
                curves = [c for run in arm.runs for c in run.losses if c.name == kind and c.steps]
                _loss_line(axes, curves, looks[arm.defense])
            axes.set_ylim(bottom=0)
        plots[-1].set_xlabel("optimizer step")
    label = "Loss curves of every arm"
    return to_svg(figure, name, f"{label}, {where}" if where else label)


def _loss_line(axes: Any, curves: Sequence[LossCurve], look: Look) -> None:
    """Draw the mean of several seeds' curves on the steps they share, and their range."""
    if not curves:
        return
    steps = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    table = np.array([_at(curve, steps) for curve in curves])  # [seeds, steps]
    if table.size == 0:
        return
    color = SERIES[look.color]
    every = max(1, len(steps) // MARKS)
    # Each arm starts elsewhere, so that the marks of equal curves do not hide each other.
    marks = {"markersize": 4.5, "markevery": ((look.color + look.shape) % every, every)}
    mean, low, high = table.mean(axis=0), table.min(axis=0), table.max(axis=0)
    axes.plot(steps, mean, LINES[look.line], color=color, marker=MARKERS[look.shape], **marks)
    if len(curves) > 1:
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)


def _at(curve: LossCurve, steps: Iterable[int]) -> list[float]:
    """Return a curve's values at ``steps``, NaN where the loss was not finite."""
    by_step = dict(zip(curve.steps, curve.values, strict=False))
    return [float("nan") if by_step[s] is None else float(by_step[s] or 0.0) for s in steps]
