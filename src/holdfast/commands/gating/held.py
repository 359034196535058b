"""One limit held against what was counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.evaluation.limits import (
    Paired,
    Requirement,
    State,
    Tally,
    prompts_at_rate,
    prompts_if_clean,
    state_of,
)
from holdfast.results.gating.records import Check

__all__ = ["Held"]


@dataclass(frozen=True)
class Held:
    """A limit and the confidence, one-sided, that it is held at."""

    requirement: Requirement
    confidence: float

    def check(
        self,
        counted: Tally | Paired,
        attack: str = "direct",
        *,
        seed: int = 0,
        reasons: Sequence[str] = (),
        categories: Mapping[str, int] | None = None,
    ) -> Check:
        """Return the limit's state; with ``reasons`` it is never a pass."""
        one = self.requirement
        state = state_of(counted, one.most_bad, self.confidence)
        reasons = [*reasons, *self._barred(counted)]
        if reasons and state == State.PASS:
            state = State.UNDECIDED
        low, high = counted.bounds(self.confidence)
        if one.known.sign == ">=":
            low, high = 1 - high, 1 - low
        needed = {} if reasons or state != State.UNDECIDED else self._needed(counted)
        return Check(
            limit=str(one), metric=one.metric, attack=attack, seed=seed, state=state, n=counted.n,
            value=self._value(counted), low=low, high=high, **_parts(counted), **needed,
            categories=dict(categories or {}), reasons=list(dict.fromkeys(reasons)),
        )  # fmt: skip

    def _barred(self, counted: Tally | Paired) -> list[str]:
        """Return that answers of which nobody can tell decide, and not the number of prompts."""
        low, high = counted.shares()
        if not low <= self.requirement.most_bad < high:
            return []
        unclear = _parts(counted)["open"]
        return [
            f"{unclear} answer{'s' * (unclear > 1)} cannot be told, and as bad ones they break the "
            "limit: raise max_new_tokens if they were cut, or name a judge that scores them"
        ]

    def _needed(self, counted: Tally | Paired) -> dict[str, Any]:
        """Return how many prompts would settle it."""
        most, sure = self.requirement.most_bad, self.confidence
        found: dict[str, Any] = {"at_rate": prompts_at_rate(counted, most, sure)}
        if isinstance(counted, Tally):
            found["if_clean"] = prompts_if_clean(counted.worst, most, sure)
        return found

    def _value(self, counted: Tally | Paired) -> float | None:
        """Return the metric of what could be told."""
        if isinstance(counted, Paired):
            return (counted.lost - counted.gained) / counted.n
        told = counted.n - counted.open
        if not told:
            return None
        bad = counted.bad / told
        return bad if self.requirement.known.sign == "<=" else 1 - bad


def _parts(counted: Tally | Paired) -> dict[str, Any]:
    if isinstance(counted, Tally):
        return {"bad": counted.bad, "open": counted.open}
    unclear = max(counted.maybe_lost, counted.maybe_gained)
    return {"bad": counted.lost, "gained": counted.gained, "open": unclear}
