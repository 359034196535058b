"""A figure with its interval, and what single figures carry besides.

Shares are in [0, 1] and differences of shares in [-1, 1]; the interval is of 95 % unless said. One
formatter tells them all: :func:`holdfast.results.words.shown`.
"""

from dataclasses import dataclass

__all__ = ["AtAccuracy", "Difference", "Estimate", "Interval", "Share", "WorstCase"]


@dataclass(frozen=True)
class Interval:
    """A figure between the ends of its interval.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def bare(self) -> "Interval":
        """The three numbers alone, as a result keeps a comparison."""
        return Interval(self.value, self.low, self.high)

    def __neg__(self) -> "Interval":
        """Return the interval of the figure with the other sign."""
        return Interval(-self.value, -self.high, -self.low)


@dataclass(frozen=True)
class Share(Interval):
    """A share of ``n`` items of one run, with Wilson's interval."""

    n: int


@dataclass(frozen=True)
class Estimate(Interval):
    """A share over ``prompts`` prompts and ``seeds`` runs."""

    prompts: int
    seeds: int


@dataclass(frozen=True)
class Difference(Interval):
    """Ours minus theirs on the same prompts and seeds; McNemar's exact p-value of each seed.

    Answers that are shares, and no yes or no, have no p-value.
    """

    p_values: tuple[float, ...]


@dataclass(frozen=True)
class WorstCase(Interval):
    """The largest share over settings; ``setting`` is the index of where it is."""

    setting: int


@dataclass(frozen=True)
class AtAccuracy(Interval):
    """A harmful score, or a difference of two, at a given fine-tuning accuracy.

    ``inside`` is the share of resamples whose frontier reaches the accuracy; the interval is of
    those.
    """

    inside: float
