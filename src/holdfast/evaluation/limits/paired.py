"""What changed from one model to another on the same prompts, with exact bounds."""

from dataclasses import dataclass

from holdfast.evaluation.limits.exact import lower_bound, upper_bound

__all__ = ["Paired"]


@dataclass(frozen=True)
class Paired:
    """Pairs of answers to the same prompts, before and after.

    Attributes:
        lost: Good before, bad after.
        gained: Bad before, good after.
        maybe_lost: Pairs that may be lost, one of the two answers being open.
        maybe_gained: Pairs that may be gained.
        n: All pairs.
    """

    lost: int
    gained: int
    maybe_lost: int
    maybe_gained: int
    n: int

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return one-sided bounds of the loss ``P(lost) - P(gained)``, in [-1, 1].

        Two Clopper-Pearson bounds at half the error each, so together at most ``1 - confidence``::

            high = upper(lost + maybe_lost) - lower(gained)
            low  = lower(lost) - upper(gained + maybe_gained)

        Exact for any dependence of the two, and wider than a betting test needs.
        """
        half, n = (1 + confidence) / 2, self.n
        high = upper_bound(self.lost + self.maybe_lost, n, half) - lower_bound(self.gained, n, half)
        low = lower_bound(self.lost, n, half)
        return low - upper_bound(self.gained + self.maybe_gained, n, half), high

    def shares(self) -> tuple[float, float]:
        """Return the loss of these pairs, at least and at most."""
        low = (self.lost - self.gained - self.maybe_gained) / self.n
        return low, (self.lost + self.maybe_lost - self.gained) / self.n

    def scaled(self, n: int) -> "Paired":
        """Return the same shares of ``n`` pairs, rounded so that neither verdict is easier."""
        lost, gained = self.lost * n // self.n, self.gained * n // self.n
        most_lost = -(-(self.lost + self.maybe_lost) * n // self.n)
        most_gained = -(-(self.gained + self.maybe_gained) * n // self.n)
        return Paired(lost, gained, most_lost - lost, most_gained - gained, n)
