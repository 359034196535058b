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

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["MeanSquares", "difference_ends", "mean_squares", "quantile", "share_ends"]

Floats: TypeAlias = NDArray[np.float64]

TIE = 1e-12  # a mean square below this is rounding


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of runs (A), prompts (B) and rest (E) of a table ``[..., seeds, prompts]``."""

    runs: Floats
    prompts: Floats
    rest: Floats

    def variances(self, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Return V_A and V_B of the mean of a table of ``shape`` [..., S, P]."""
        answers = shape[-2] * shape[-1]
        return self.runs / answers, np.maximum(self.prompts - self.rest, 0.0) / answers


def mean_squares(table: Floats) -> MeanSquares:
    """Return the mean squares of ``table`` [..., S seeds, P prompts], S at least 2.

    Runs that tie by chance do not show that the answers are free of noise: A is then E.
    """
    seeds, prompts = table.shape[-2:]
    of_seeds, of_prompts = seeds - 1, max(prompts - 1, 1)
    by_seed = table.mean(axis=-1, keepdims=True)
    by_prompt = table.mean(axis=-2, keepdims=True)
    mean = by_seed.mean(axis=-2, keepdims=True)
    rest = table - by_seed - by_prompt + mean
    between = prompts * ((by_seed - mean) ** 2).sum(axis=(-2, -1)) / of_seeds
    across = seeds * ((by_prompt - mean) ** 2).sum(axis=(-2, -1)) / of_prompts
    residual = (rest**2).sum(axis=(-2, -1)) / (of_seeds * of_prompts)
    return MeanSquares(np.where(between > TIE, between, residual), across, residual)


def quantile(
    of_runs: Floats, of_prompts: Floats, shape: tuple[int, ...], confidence: float
) -> Floats:
    """Return Student's two-sided quantile for the variances V_A and V_B of ``shape`` [..., S, P].

    ``confidence`` is in (0, 1); the two variances are not both 0.
    """
    seeds, prompts = shape[-2] - 1, max(shape[-1] - 1, 1)
    runs = of_runs * seeds / float(special.chdtri(seeds, 0.5))
    freedom = (runs + of_prompts) ** 2 / (runs**2 / seeds + of_prompts**2 / prompts)
    return special.stdtrit(freedom, (1 + confidence) / 2)


def difference_ends(table: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return ``d -+ t sqrt(V_A + V_B)`` of differences ``table`` [..., seeds, prompts].

    A table's differences are not all equal. Cut to [-1, 1].
    """
    of_runs, of_prompts = mean_squares(table).variances(table.shape)
    t = quantile(of_runs, of_prompts, table.shape, confidence)
    mean, half = table.mean(axis=(-2, -1)), t * np.sqrt(of_runs + of_prompts)
    return np.maximum(-1.0, mean - half), np.minimum(1.0, mean + half)


def share_ends(table: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the interval of the share in ``table`` [..., seeds, prompts] of 0.0 and 1.0.

    A table's answers are not all equal. What a run does to all its answers acts on the logit, and
    chance within runs as in Wilson's interval; on the logit, where Wilson's ends lie symmetrically
    about the share m, the two add as squares::

        logit(m) -+ sqrt(w^2 + t^2 R / q^2),  w = 2 asinh(t sqrt(N) / (2 q)),  q = m (1 - m)
        N = min(V_A, E / (S P)) + V_B,        R = V_A - min(V_A, E / (S P))

    With R = 0 it is Wilson's formula with ``q / N`` answers and t in place of z. The ends are
    inside (0, 1).
    """
    squares, mean = mean_squares(table), table.mean(axis=(-2, -1))
    spread = mean * (1 - mean)
    of_runs, of_prompts = squares.variances(table.shape)
    chance = np.minimum(of_runs, squares.rest / (table.shape[-2] * table.shape[-1]))
    t = quantile(of_runs, of_prompts, table.shape, confidence)
    within = 2 * np.arcsinh(t * np.sqrt(chance + of_prompts) / (2 * spread))
    half = np.hypot(within, t * np.sqrt(of_runs - chance) / spread)
    center = special.logit(mean)
    return special.expit(center - half), special.expit(center + half)
