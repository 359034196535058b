"""Changes of modules kept between trials, because a search perturbs its whole set at every trial.

A set of n modules is drawn n times over without it: on an accelerator, where a pass takes
milliseconds, that is most of the time of a search.
"""

from torch import Tensor

from holdfast.analysis.modules.perturbation import Change
from holdfast.ops.modules import ModuleRef

__all__ = ["MOST_BYTES", "Remembered"]

MOST_BYTES = 2**31
"""Memory that the kept changes take at most, on the model's device; ours."""


class Remembered:
    """A ``Change`` that gives the very tensors again which it gave before, while they fit.

    Args:
        change: What makes them; the same call has to give the same numbers.
        most: Bytes that are kept; what comes after is made anew each time.
    """

    def __init__(self, change: Change, most: int = MOST_BYTES) -> None:
        self._change, self._left = change, most
        self._kept: dict[tuple[ModuleRef, int], Tensor] = {}

    def __call__(self, ref: ModuleRef, seed: int) -> Tensor:
        """Return what is added to the module's weight; not to be changed by who gets it."""
        found = self._kept.get((ref, seed))
        if found is None:
            found = self._change(ref, seed)
            if found.nbytes <= self._left:
                self._left -= found.nbytes
                self._kept[ref, seed] = found
        return found
