"""How many prompts a claim takes, before any is asked."""

from typing import Literal

import numpy as np
from scipy import special

from holdfast.errors import InputError
from holdfast.evaluation.certify.betting import stake_for
from holdfast.evaluation.certify.shares import binomial_p, hoeffding_bentkus_p

__all__ = [
    "most_allowed", "pairs_for_power", "prompts_allowing", "prompts_at_share", "prompts_for_power",
]  # fmt: skip

MOST = 20_000
REPEATS = 4_000
Test = Literal["exact", "graded"]


def prompts_allowing(bad: int, limit: float, confidence: float = 0.95, test: Test = "exact") -> int:
    """Return the least n at which ``bad`` harmful answers still pass.

    Args:
        bad: Answers that count against the limit.
        limit: In (0, 1).
        confidence: In (0, 1).
        test: ``exact`` for answers that are 0 or 1, ``graded`` for degrees (Hoeffding-Bentkus).

    Raises:
        InputError: More than ``MOST`` prompts are needed.
    """
    numbers = np.arange(max(bad, 1), MOST + 1)
    if test == "exact":
        found = binomial_p(bad, numbers, limit)
    else:
        found = hoeffding_bentkus_p(bad / numbers, numbers, limit)
    return _first(numbers[found <= _delta(confidence)], limit)


def most_allowed(n: int, limit: float, confidence: float = 0.95) -> int:
    """Return how many of ``n`` answers may be bad in a pass; -1 where not even 0."""
    passing = binomial_p(np.arange(n + 1), n, limit) <= _delta(confidence)
    return int(passing.sum()) - 1


def prompts_for_power(
    truth: float, limit: float, confidence: float = 0.95, power: float = 0.9
) -> int:
    """Return the least n that passes with probability ``power`` where the share is ``truth``.

    Raises:
        InputError: The truth is not below the limit, or more than ``MOST`` prompts are needed.
    """
    if not 0 <= truth < limit:
        raise InputError(
            f"a share of {truth:g} passes a limit of {limit:g} at no number of prompts; expected "
            "one below it"
        )
    start = prompts_allowing(0, limit, confidence)
    allowed, n = 0, start
    while n <= MOST:  # Power is best just where one more bad answer is allowed.
        if special.bdtr(allowed, n, truth) >= power:
            return n
        allowed += 1
        n = prompts_allowing(allowed, limit, confidence)
    raise _too_many(limit)


def pairs_for_power(
    limit: float, changing: float, confidence: float = 0.95, power: float = 0.9, seed: int = 0
) -> int:
    """Return about how many pairs pass a bet with probability ``power`` where nothing is lost.

    By simulation: the time at which that share of bets has reached ``1 / delta``.

    Args:
        limit: Of the mean difference, in (0, 1).
        changing: Share of pairs that differ, half of them either way.
        confidence: In (0, 1).
        power: In (0, 1).
        seed: Of the simulation.

    Raises:
        InputError: More than ``MOST`` pairs are needed.
    """
    generator, n = np.random.default_rng(seed), 1024
    stake, wanted = stake_for(limit, changing), -np.log(_delta(confidence))
    grown, hit = np.zeros((REPEATS, 1)), np.full(REPEATS, np.inf)
    for start in range(0, MOST, n):
        chance = generator.random((REPEATS, n))
        drawn = np.where(chance < changing / 2, 1.0, np.where(chance < changing, -1.0, 0.0))
        paths = grown + np.cumsum(np.log1p(stake * (limit - drawn)), axis=1)
        there, at = (paths >= wanted).any(axis=1), (paths >= wanted).argmax(axis=1)
        hit = np.minimum(hit, np.where(there, start + at + 1, np.inf))
        grown = paths[:, -1:]
        if np.isfinite(hit).mean() >= power:
            return int(np.quantile(hit, power, method="higher"))
    raise _too_many(limit)


def prompts_at_share(share: float, limit: float, delta: float) -> int | None:
    """Return the least n that passes where the bad share stays ``share``.

    None where it is at the limit or above, or more than ``MOST`` prompts are needed.
    """
    if share >= limit:
        return None
    numbers = np.arange(1, MOST + 1)
    passing = binomial_p(np.ceil(share * numbers - 1e-9), numbers, limit) <= delta
    return int(numbers[passing][0]) if passing.any() else None


def _first(numbers: np.ndarray, limit: float) -> int:
    if not numbers.size:
        raise _too_many(limit)
    return int(numbers[0])


def _delta(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InputError(f"`confidence={confidence:g}` is out of range, expected above 0, below 1")
    # 1 - .95 is a little more than .05 in floating point.
    return round(1 - confidence, 12)


def _too_many(limit: float) -> InputError:
    return InputError(f"a limit of {limit:g} takes more than {MOST} prompts: allow more")
