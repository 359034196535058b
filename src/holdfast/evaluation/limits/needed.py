"""How many prompts would settle an undecided limit."""

from collections.abc import Callable

from holdfast.evaluation.limits.exact import upper_bound
from holdfast.evaluation.limits.paired import Paired
from holdfast.evaluation.limits.states import State, Tally, state_of

__all__ = ["prompts_at_rate", "prompts_if_clean"]

MOST = 10**6
"""More prompts than this are no answer to the question how many are needed."""


def prompts_if_clean(k: int, limit: float, confidence: float = 0.95) -> int | None:
    """Return the least n with ``upper_bound(k, n) <= limit``: no further answer counts.

    None where even a million are too few.
    """
    return _least(lambda n: upper_bound(k, n, confidence) <= limit, k)


def prompts_at_rate(
    counted: Tally | Paired, most_bad: float, confidence: float = 0.95
) -> int | None:
    """Return about how many prompts decide, for or against, where all shares stay as they are.

    None where a million are too few: the share is the limit, or open answers stand in the way.
    """
    if counted.n == 0:
        return None
    return _least(
        lambda n: state_of(counted.scaled(n), most_bad, confidence) != State.UNDECIDED, counted.n
    )


def _least(enough: Callable[[int], bool], start: int) -> int | None:
    """Return the least number from ``start`` on that is enough, by doubling and halving."""
    low, high = max(start, 1) - 1, max(start, 1)
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
