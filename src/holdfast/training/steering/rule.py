r"""The rule that moves a strength u by what the lead L lacks of its target.

.. math::

   e = \text{target} - L, \qquad
   \log u \leftarrow \operatorname{clip}\big(\log u_0 + k_p e + k_i \textstyle\sum e\big)

The sum stands still at the bounds, u moves by at most a factor per look, and nothing moves where
\|e\| is within the noise of a probe. Ours; a harm score per batch that scales a pull to a safe
reference (arXiv 2602.17546) is the nearest published loop.
"""

import math
from dataclasses import dataclass

from holdfast.errors import ConfigError

__all__ = ["Rule", "moved"]


@dataclass(frozen=True)
class Rule:
    """A proportional-integral rule in log strength."""

    target: float
    """Lead to hold, nats per token."""
    start: float
    """Strength u₀, above 0: what the user set."""
    low: float
    """Least strength."""
    high: float
    """Greatest strength."""
    kp: float = 1.0
    """Gain of the error, per nat; from one step response on validation runs."""
    ki: float = 0.25
    """Gain of the summed errors, per nat and look."""
    rate: float = 1.5
    """Most that a look multiplies or divides the strength by."""
    two_sided: bool = False
    """Also lower the strength where the lead is above its target."""

    def __post_init__(self) -> None:
        """Refuse what steers nowhere."""
        if not 0 < self.low <= self.start <= self.high:
            raise ConfigError(
                f"`steer`: the strength {self.start:g} must lie in [{self.low:g}, {self.high:g}] "
                "and above 0: set the defense's strength there, or the bounds around it"
            )
        if min(self.kp, self.ki) < 0 or not math.isfinite(self.kp + self.ki + self.target):
            raise ConfigError(
                f"`steer`: the gains kp={self.kp!r} and ki={self.ki!r} must be 0 or more, and the "
                f"target {self.target!r} a number of nats per token"
            )
        if self.rate < 1:
            raise ConfigError(f"`steer`: rate={self.rate!r} must be a factor of 1 or more")


def moved(
    rule: Rule, value: float, integral: float, lead: float, noise: float
) -> tuple[float, float]:
    """Return the next (strength, sum of errors) after a look.

    Args:
        rule: The rule.
        value: Strength now.
        integral: Sum of errors so far.
        lead: What the look found.
        noise: Standard error of that lead: the dead band.
    """
    error = rule.target - lead
    if abs(error) <= noise:
        return value, integral
    # As a factor of the start, so that gains of 0 give the start itself, bit for bit.
    push = rule.kp * error + rule.ki * (integral + error)
    wanted = rule.start * math.exp(max(-50.0, min(50.0, push)))
    bounded = max(rule.low, min(rule.high, wanted))
    if bounded == wanted:
        integral += error
    slowed = max(value / rule.rate, min(value * rule.rate, bounded))
    held = slowed if rule.two_sided else max(value, slowed)
    return max(rule.low, min(rule.high, held)), integral
