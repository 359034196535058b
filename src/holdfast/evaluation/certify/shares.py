"""P-values against "the share is above the limit", for answers that are 0 or 1 and for degrees.

Every function takes arrays and works on the last axis or element by element, so that thousands of
repeats take no longer than one.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from holdfast.errors import InputError
from holdfast.evaluation.limits.exact import at_most

__all__ = ["binomial_p", "hoeffding_bentkus_p"]

Floats: TypeAlias = NDArray[np.float64]
WHOLE = 1e-9  # A sum this little above a whole number is one.


def binomial_p(bad: Any, n: Any, limit: float) -> Floats:
    """Return ``P(Bin(n, limit) <= bad)``, the exact p-value of answers that are 0 or 1.

    Args:
        bad: Answers that count against the limit, ``[...]``.
        n: Answers in all, ``[...]``.
        limit: Of the share, in (0, 1).

    Raises:
        InputError: A count is above its ``n`` or below 0, or the limit is no share.
    """
    _check(bad, n, limit)
    return at_most(bad, n, limit)


def hoeffding_bentkus_p(mean: Any, n: Any, limit: float) -> Floats:
    """Return the p-value of answers that are degrees in [0, 1], from their mean.

    ``min(exp(-n h(min(mean, limit), limit)), e P(Bin(n, limit) <= ceil(n mean)))`` with the binary
    relative entropy ``h(a, b) = a log(a / b) + (1 - a) log((1 - a) / (1 - b))``: Learn then Test,
    arXiv 2110.01052, eq. 9. Weaker than ``binomial_p`` where every answer is 0 or 1.

    Args:
        mean: Mean degree, ``[...]``, in [0, 1].
        n: Answers, ``[...]``.
        limit: Of the mean, in (0, 1).

    Raises:
        InputError: A mean is outside [0, 1], or the limit is no share.
    """
    count = np.asarray(mean, dtype=np.float64) * n
    _check(count, n, limit)
    low = np.minimum(mean, limit)
    entropy = special.rel_entr(low, limit) + special.rel_entr(1 - low, 1 - limit)
    bentkus = np.e * special.bdtr(np.ceil(count - WHOLE), n, limit)
    return np.minimum(1.0, np.minimum(np.exp(-np.asarray(n) * entropy), bentkus))


def _check(bad: Any, n: Any, limit: float) -> None:
    if not (np.all(np.asarray(bad) >= 0) and np.all(np.asarray(bad) <= n)):
        raise InputError(f"{bad} of {n} answers have no p-value; expected 0 to all of them")
    if not 0 < limit < 1:
        raise InputError(
            f"a limit of {limit} is no share that can be tested; expected 0 < limit < 1"
        )
