r"""A one-sided CUSUM on the lead: it adds up what a run loses and forgives what safe runs lose.

.. math:: S_t = \max\big(0,\ S_{t-1} + w_t\,((L_0 - L_t)/s - k)\big), \quad
          \text{alarm at } S_t > h

with the untuned lead :math:`L_0`, a probe's noise s, and k what safe runs lose (Page 1954). The
weight :math:`w_t` is the share of the run since the look before, in looks of the calibration: a
run that is looked at more often adds up no more.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from holdfast.evaluation.drift.fit import Curve, Fit, conformal

__all__ = ["LEAST_NOISE", "cusum", "paced", "peak", "with_alarm"]

LEAST_NOISE = 1e-9
"""Standard error in nats per token below which leads do not differ: of one prompt it is 0."""


def cusum(
    leads: Sequence[float],
    start: float,
    noise: float,
    drift: float,
    weights: Sequence[float] | None = None,
) -> list[float]:
    """Return ``S_t`` of each lead in turn, in units of ``noise``.

    Args:
        leads: Of the looks after the untuned one.
        start: Lead of the untuned model.
        noise: Standard error of a lead; where it is 0, ``LEAST_NOISE`` stands in.
        drift: What is forgiven at each look, in units of ``noise``.
        weights: What each look counts, as ``paced`` returns; 1 where there are none.
    """
    found: list[float] = []
    total, unit = 0.0, max(noise, LEAST_NOISE)
    for lead, weight in zip(leads, weights or [1.0] * len(leads), strict=True):
        total = max(0.0, total + weight * ((start - lead) / unit - drift))
        found.append(total)
    return found


def paced(steps: Sequence[int], total: int, looks: int) -> list[float]:
    r"""Return what each look after the first counts, :math:`w_t = n\,(t - t') / T`.

    Args:
        steps: Optimizer steps t at the looks, rising; one more than there are weights.
        total: Steps T of the whole run, above 0.
        looks: Looks n of a run of the calibration; 0 where that is not known, and each counts 1.
    """
    pairs = pairwise(steps)
    return [looks * (now - before) / total if looks else 1.0 for before, now in pairs]


def peak(fit: Fit, leads: Sequence[float]) -> float:
    """Return the largest ``S_t`` along a run whose looks are spread evenly, the untuned one out."""
    weights = [(fit.looks or len(leads)) / len(leads)] * len(leads)
    return max(cusum(leads, fit.start, fit.noise, fit.drift, weights))


def with_alarm(fit: Fit, curves: Sequence[Curve], limit: float) -> Fit:
    """Return the fit with a threshold that at most 5 % of safe runs ever pass.

    Safe runs are those whose score is at most ``limit`` at every look; looks are spread evenly
    along the whole of a run, without the untuned one. k is the mean of what they lose at a look,
    h the conformal 95 % place of their largest sums; with fewer than 19 safe runs no h can promise
    5 %, and there is no alarm.
    """
    safe = [curve.leads for curve in curves if max(curve.scores) <= limit]
    noise = max(fit.noise, LEAST_NOISE)
    losses = [(fit.start - lead) / noise for leads in safe for lead in leads]
    drift = max(0.0, sum(losses) / len(losses)) if losses else 0.0
    # Without a safe run the looks are those of all: a limit of its own may have safe ones.
    looks = max(map(len, safe or [curve.leads for curve in curves]), default=0)
    known = replace(fit, drift=drift, looks=looks, safe_runs=len(safe))
    return replace(known, alarm=conformal([peak(known, leads) for leads in safe]))
