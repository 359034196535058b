"""Several limits, several attacks, several candidates: when the whole may be claimed.

Learn then Test (arXiv 2110.01052) with Pareto Testing's order (2210.07913). All limits of one
candidate hold where each p-value is ``delta`` or less: that is an intersection-union test (Berger
1982) and costs no correction. Candidates are tested in an order that other prompts decided, up to
the first that fails: the probability that any is passed wrongly is ``delta`` at most.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["all_hold_p", "fixed_sequence"]

Floats: TypeAlias = NDArray[np.float64]


def all_hold_p(p_values: Any) -> Floats:
    """Return the p-value of "not all limits hold", the largest of ``[..., limits]``."""
    return np.asarray(p_values, dtype=np.float64).max(axis=-1)


def fixed_sequence(p_values: Any, delta: float) -> NDArray[np.bool_]:
    """Return which candidates pass, ``[..., candidates]`` in the order of the test.

    A candidate passes where its p-value and those of all before it are ``delta`` or less.
    """
    small = np.asarray(p_values, dtype=np.float64) <= delta
    return np.logical_and.accumulate(small, axis=-1)
