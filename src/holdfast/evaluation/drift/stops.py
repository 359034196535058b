"""Which safe runs a stop would end, the limits that end few of them, and the alarm for a limit.

A run is safe at a limit that its measured score never passes, and stopped where its bound, as the
fit of all other runs has it, is above the limit at ``patience`` looks running.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from holdfast.evaluation.drift.cusum import peak
from holdfast.evaluation.drift.fit import CONFIDENCE, Curve, Fit, conformal, fit_curves
from holdfast.evaluation.drift.left_out import LeftOut

__all__ = ["alarm_at", "least_limit", "limit_holds", "stopped", "with_stops"]


def with_stops(fit: Fit, curves: Sequence[Curve]) -> Fit:
    """Return the fit with what a fit of the others bounds each of its runs by.

    Args:
        fit: Of these curves, with what CUSUM forgives (``with_alarm``).
        curves: Three runs or more; each is left out once, margin and all.

    Raises:
        DataError: There are fewer than three runs, or a run of no looks.
    """
    found: list[LeftOut] = []
    for place, own in enumerate(curves):
        others = [curve for n, curve in enumerate(curves) if n != place]
        known, _ = fit_curves(others, fit.openings, fit.start, fit.noise)
        bounds = tuple(known.bound(lead) for lead in own.leads)
        found.append(LeftOut(max(own.scores), bounds, peak(fit, own.leads)))
    return replace(fit, left_out=tuple(found))


def alarm_at(fit: Fit, limit: float) -> float:
    """Return CUSUM's threshold h for runs whose score never passes ``limit``: they are the safe.

    It is the conformal 95 % place of their largest sums, infinite with fewer than 19 of them, and
    the fit's own ``alarm`` where the fit does not know its runs' sums.
    """
    if not fit.left_out:
        return fit.alarm
    return conformal([run.fallen for run in fit.left_out if run.highest <= limit])


def stopped(fit: Fit, limit: float, patience: int) -> tuple[int, int]:
    """Return how many safe runs of the fit a limit would have stopped, and how many are safe."""
    safe = [run for run in fit.left_out if run.highest <= limit]
    return sum(run.peak(patience) > limit for run in safe), len(safe)


def limit_holds(fit: Fit, limit: float, patience: int) -> bool:
    r"""Return whether a limit stops few enough safe runs; true where the fit does not know.

    Of n safe runs k may be stopped with :math:`(k + 1) / (n + 1) \le .05`: then a further safe run
    of these kinds is stopped with at most 5 %. Of fewer than 19 that promises nothing, and none
    may be.
    """
    count, safe = stopped(fit, limit, patience)
    room = math.floor(round((1 - CONFIDENCE) * (safe + 1), 9))
    return count < max(1, room)


def least_limit(fit: Fit, above: float, patience: int) -> float | None:
    """Return the least limit above ``above`` that holds, in hundredths; None where none does.

    At least one run of the fit is safe at it, and it is not below what is predicted of the untuned
    model with its margin.
    """
    lowest = max(above, fit.bound(fit.start))
    for hundredth in range(1, 100):
        limit = hundredth / 100
        known = stopped(fit, limit, patience)[1] > 0
        if limit > lowest and known and limit_holds(fit, limit, patience):
            return limit
    return None
