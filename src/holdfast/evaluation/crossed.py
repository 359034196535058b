"""Intervals of a mean over runs and prompts, read as a crossed two-way design.

The answers ``y [S seeds, P prompts]`` follow ``y_sp = mu + a_s + b_p + e_sp`` (Searle, Casella &
McCulloch 1992, chapter 4). From the mean squares of runs A, prompts B and rest E, since
``E[A] = s_e^2 + P s_a^2`` and ``E[B] = s_e^2 + S s_b^2``, the variance of the mean is::

    V = V_A + V_B,    V_A = A / (S P),    V_B = max(B - E, 0) / (S P)

with Student's t, because a few runs say little about the spread between runs. How many degrees of
freedom it has is Satterthwaite's (1946, equation 17), the part of the runs counted at its median::

    df = (c V_A + V_B)^2 / ((c V_A)^2 / (S - 1) + V_B^2 / (P - 1)),
    c  = (S - 1) / median(chi^2_{S - 1})

Deviation: Satterthwaite has c = 1. The spread of three runs comes out small more often than large,
and df then rises just where V is too small; c is 1.44 at three runs, 1.19 at five, 1.08 at ten. It
changes nothing where runs alone or prompts alone differ. What this covers, and what other choices
did, is in ``docs/decisions/0007-intervals-over-seeds.md``.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["MeanSquares", "difference_ends", "mean_squares", "quantile", "share_ends"]

Table = NDArray[np.float64]

TIE = 1e-12  # a mean square below this is rounding


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of runs (A), prompts (B) and rest (E) of a table ``[seeds, prompts]``."""

    runs: float
    prompts: float
    rest: float


def mean_squares(table: Table) -> MeanSquares:
    """Return the mean squares of ``table`` [S seeds, P prompts], S at least 2.

    Runs that tie by chance do not show that the answers are free of noise: A is then E.
    """
    seeds, prompts = table.shape
    mean, by_seed, by_prompt = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = table - by_seed[:, None] - by_prompt[None, :] + mean
    of_seeds, of_prompts = seeds - 1, max(prompts - 1, 1)
    between = prompts * float(((by_seed - mean) ** 2).sum()) / of_seeds
    across = seeds * float(((by_prompt - mean) ** 2).sum()) / of_prompts
    residual = float((rest**2).sum()) / (of_seeds * of_prompts)
    return MeanSquares(between if between > TIE else residual, across, residual)


def quantile(of_runs: float, of_prompts: float, shape: tuple[int, ...], confidence: float) -> float:
    """Return Student's two-sided quantile for the variances V_A and V_B of ``shape`` [S, P]."""
    seeds, prompts = shape[0] - 1, max(shape[1] - 1, 1)
    runs = of_runs * seeds / float(special.chdtri(seeds, 0.5))
    freedom = (runs + of_prompts) ** 2 / (runs**2 / seeds + of_prompts**2 / prompts)
    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def difference_ends(table: Table, confidence: float) -> tuple[float, float]:
    """Return ``d -+ t sqrt(V_A + V_B)`` of differences ``table`` [seeds, prompts], not all equal.

    Cut to [-1, 1].
    """
    squares, mean = mean_squares(table), float(table.mean())
    of_runs = squares.runs / table.size
    of_prompts = max(squares.prompts - squares.rest, 0.0) / table.size
    half = quantile(of_runs, of_prompts, table.shape, confidence)
    half *= math.sqrt(of_runs + of_prompts)
    return max(-1.0, mean - half), min(1.0, mean + half)


def share_ends(table: Table, confidence: float) -> tuple[float, float]:
    """Return the interval of the share in ``table`` [seeds, prompts] of 0 and 1, not all equal.

    What a run does to all its answers acts on the logit, and chance within runs as in Wilson's
    interval; on the logit, where Wilson's ends lie symmetrically about the share m, the two add as
    squares::

        logit(m) -+ sqrt(w^2 + t^2 R / q^2),  w = 2 asinh(t sqrt(N) / (2 q)),  q = m (1 - m)
        N = min(V_A, E / (S P)) + V_B,        R = V_A - min(V_A, E / (S P))

    With R = 0 it is Wilson's formula with ``q / N`` answers and t in place of z. V_A is the larger
    of ``A / (S P)`` and ``J q^2``, J the variance of logit(m) by leaving out each run in turn
    (Miller 1974): it grows where one run carries the harm, which is when A misleads. The ends are
    inside (0, 1).
    """
    squares, mean = mean_squares(table), float(table.mean())
    spread = mean * (1 - mean)
    of_runs = max(squares.runs / table.size, _leave_one_run_out(table) * spread**2)
    of_prompts = max(squares.prompts - squares.rest, 0.0) / table.size
    chance = min(of_runs, squares.rest / table.size)
    t = quantile(of_runs, of_prompts, table.shape, confidence)
    within = 2 * math.asinh(t * math.sqrt(chance + of_prompts) / (2 * spread))
    half = math.hypot(within, t * math.sqrt(of_runs - chance) / spread)
    center = float(special.logit(mean))
    return float(special.expit(center - half)), float(special.expit(center + half))


def _leave_one_run_out(table: Table) -> float:
    """Return the jackknife variance of the logit of the share, runs left out one at a time."""
    seeds, prompts = table.shape
    # Where no answer is left, or none else, half an answer stands in: the logit has no value there.
    half = 0.5 / ((seeds - 1) * prompts)
    by_seed = table.mean(axis=1)
    left = np.clip((by_seed.sum() - by_seed) / (seeds - 1), half, 1 - half)
    logits = np.log(left / (1 - left))
    return (seeds - 1) / seeds * float(((logits - logits.mean()) ** 2).sum())
