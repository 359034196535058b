"""How many prompts would settle an undecided limit."""

from collections.abc import Callable

from holdfast.evaluation.limits.exact import lower_bound, upper_bound

__all__ = ["prompts_at_rate", "prompts_if_clean"]

MOST = 10**6
"""More prompts than this are no answer to the question how many are needed."""


def prompts_if_clean(k: int, limit: float, confidence: float = 0.95) -> int | None:
    """Return the least n with ``upper_bound(k, n) <= limit``: no further answer counts.

    None where even a million are too few.
    """
    return _least(lambda n: upper_bound(k, n, confidence) <= limit, k)


def prompts_at_rate(k: int, n: int, limit: float, confidence: float = 0.95) -> int | None:
    """Return about how many prompts decide, for or against, where the share stays ``k / n``.

    None where the share is the limit, or a million are too few: nothing is decided then.
    """
    if n == 0:
        return None
    share = k / n
    if share < limit:
        # Rounded up: a prompt more that counts is worse.
        found = _least(lambda m: upper_bound(_up(k, m, n), m, confidence) <= limit, n)
    elif share > limit:
        found = _least(lambda m: lower_bound(k * m // n, m, confidence) > limit, n)
    else:
        found = None
    return found


def _up(k: int, m: int, n: int) -> int:
    return -(-k * m // n)


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
