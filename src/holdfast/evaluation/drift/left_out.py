"""A run as a fit of all other runs sees it."""

from dataclasses import dataclass
from typing import Any

__all__ = ["LeftOut"]


@dataclass(frozen=True)
class LeftOut:
    """What one run of a fit scored, and what the others' fit bounds it by."""

    highest: float
    """Largest measured harmful score along the run, in [0, 1]."""
    bounds: tuple[float, ...]
    """Predicted score plus margin at each look, in [0, 1]."""
    fallen: float
    """Largest CUSUM sum along the run, in units of a lead's noise."""

    def peak(self, patience: int) -> float:
        r"""Return the largest limit that it is above at ``patience`` looks running.

        .. math:: \max_t \min(u_t, \ldots, u_{t + p - 1})

        of the bounds u; 0 where the run has fewer looks than ``patience``, which is 1 or more.
        """
        starts = range(len(self.bounds) - patience + 1)
        return max((min(self.bounds[at : at + patience]) for at in starts), default=0.0)

    @classmethod
    def of_json(cls, said: Any) -> "LeftOut":
        """Read what ``asdict`` makes of one; KeyError, TypeError or ValueError where it is none."""
        bounds = tuple(float(bound) for bound in said["bounds"])
        return cls(float(said["highest"]), bounds, float(said["fallen"]))
