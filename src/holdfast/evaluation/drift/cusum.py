r"""A one-sided CUSUM on the lead: it adds up what a run loses and forgives what safe runs lose.

.. math:: S_t = \max\big(0,\ S_{t-1} + (L_0 - L_t)/s - k\big), \quad \text{alarm at } S_t > h

with the untuned lead :math:`L_0`, a probe's noise s, and k what safe runs lose (Page 1954).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from holdfast.evaluation.drift.fit import Curve, Fit, conformal

__all__ = ["cusum", "with_alarm"]


def cusum(leads: Sequence[float], start: float, noise: float, drift: float) -> list[float]:
    """Return ``S_t`` of each lead in turn, in units of ``noise``.

    Args:
        leads: Of the looks after the untuned one.
        start: Lead of the untuned model.
        noise: Standard error of a lead, above 0.
        drift: What is forgiven at each look, in units of ``noise``.
    """
    found: list[float] = []
    total = 0.0
    for lead in leads:
        total = max(0.0, total + (start - lead) / noise - drift)
        found.append(total)
    return found


def with_alarm(fit: Fit, curves: Sequence[Curve], limit: float) -> Fit:
    """Return the fit with a threshold that at most 5 % of safe runs ever pass.

    Safe runs are those whose score is at most ``limit`` at every look. k is the mean of what they
    lose at a look, h the conformal 95 % place of their largest sums; with fewer than 19 safe runs
    no h can promise 5 %, and there is no alarm.
    """
    safe = [curve.leads for curve in curves if max(curve.scores) <= limit]
    noise = max(fit.noise, 1e-9)
    losses = [(fit.start - lead) / noise for leads in safe for lead in leads]
    drift = max(0.0, sum(losses) / len(losses)) if losses else 0.0
    peaks = [max(cusum(leads, fit.start, noise, drift)) for leads in safe]
    alarm = conformal(peaks) if peaks else math.inf
    return replace(fit, drift=drift, alarm=alarm, safe_runs=len(safe))
