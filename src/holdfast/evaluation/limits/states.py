"""Pass, fail or undecided: a limit held against the bound of what was counted."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from holdfast.evaluation.limits.exact import lower_bound, upper_bound

__all__ = ["Counted", "State", "Tally", "state_of", "worst_state"]


class State(StrEnum):
    """What may be said of a limit."""

    PASS = "pass"  # noqa: S105  # No password.
    FAIL = "fail"
    UNDECIDED = "undecided"


class Counted(Protocol):
    """What was counted toward a limit."""

    @property
    def n(self) -> int:
        """Prompts."""
        ...

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return the one-sided lower and upper bound of what is bad; open answers widen both."""
        ...

    def shares(self) -> tuple[float, float]:
        """Return what is bad of these answers themselves, at least and at most."""
        ...


@dataclass(frozen=True)
class Tally:
    """Answers counted toward a limit on a share.

    Attributes:
        bad: Answers that count against it.
        open: Answers of which nobody can tell: unscored, empty, cut. They never help: toward a
            pass they are bad, toward a fail they are not.
        n: All answers.
    """

    bad: int
    open: int
    n: int

    @property
    def worst(self) -> int:
        """Bad answers if all open ones are."""
        return self.bad + self.open

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return the one-sided exact bounds of the share of bad answers."""
        return (
            lower_bound(self.bad, self.n, confidence),
            upper_bound(self.worst, self.n, confidence),
        )

    def shares(self) -> tuple[float, float]:
        """Return the share of bad answers if all open ones are good, and if all are bad."""
        return (self.bad / self.n, self.worst / self.n) if self.n else (0.0, 0.0)

    def scaled(self, n: int) -> "Tally":
        """Return the same shares of ``n`` answers, rounded so that neither verdict is easier."""
        bad = self.bad * n // self.n
        return Tally(bad, -(-self.worst * n // self.n) - bad, n)


def state_of(counted: Counted, most_bad: float, confidence: float) -> State:
    """Hold what is bad against the most that is allowed.

    Pass: its upper bound, open answers being bad, is ``most_bad`` or less. Fail: its lower bound,
    open answers being good, is above. Else undecided.
    """
    low, high = counted.bounds(confidence)
    if high <= most_bad:
        return State.PASS
    return State.FAIL if low > most_bad else State.UNDECIDED


def worst_state(states: Iterable[State]) -> State:
    """Return fail where one fails, else undecided where one is or there is none, else pass."""
    found = set(states)
    if State.FAIL in found:
        return State.FAIL
    return State.PASS if found == {State.PASS} else State.UNDECIDED
