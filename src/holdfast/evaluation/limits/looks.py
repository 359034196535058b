"""What each look at the same prompts may cost: a loop that retries until it passes is no proof."""

import math

from holdfast.errors import InputError

__all__ = ["delta_at"]


def delta_at(look: int, delta: float) -> float:
    """Return ``delta_k = 6 delta / (pi^2 k^2)``, the error that look k = 1, 2, ... may spend.

    The sum over all looks is ``delta``: some release passes wrongly with that probability at most,
    however many are tried.

    Raises:
        InputError: ``look`` is below 1 or ``delta`` is not in (0, 1).
    """
    if look < 1 or not 0 < delta < 1:
        raise InputError(f"look {look} at delta {delta}: expected 1 or more, and 0 < delta < 1")
    return 6 * delta / (math.pi * look) ** 2
