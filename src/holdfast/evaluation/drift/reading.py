"""One look at a model that is being tuned: a handful of numbers, and no words."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["PREFIX", "Reading"]

PREFIX = "drift/"
"""What the figures' names begin with in a log."""


@dataclass(frozen=True)
class Reading:
    """Figures of one look; leads and NLLs in nats per token, shares in [0, 1]."""

    step: int
    """Optimizer steps done."""
    lead: float
    """Mean lead on harmful prompts; positive leans to refusing."""
    lead_se: float
    """Standard error of that mean over the prompts: the noise of a probe."""
    complying: float
    """Share of harmful prompts whose lead is below 0."""
    lead_safe: float | None = None
    """Mean lead on prompts that look scary and are harmless; rising is over-refusal."""
    lead_task: float | None = None
    """Mean lead on the user's own prompts, the control."""
    lead_prefill: float | None = None
    """Mean lead on harmful prompts after five tokens of compliance."""
    content_nll: float | None = None
    """NLL of the defender's harmful answers behind their opening; falling is an alarm."""

    def logged(self) -> dict[str, float]:
        """Return the figures by the names of a log."""
        own = {name: getattr(self, name) for name in _NAMES}
        return {f"{PREFIX}{name}": value for name, value in own.items() if value is not None}

    @classmethod
    def of_log(cls, entry: Mapping[str, Any]) -> "Reading | None":
        """Return the look that a line of a log tells of; None where it tells of none."""
        if f"{PREFIX}lead" not in entry:
            return None
        found = {name: entry.get(f"{PREFIX}{name}") for name in _NAMES}
        return cls(step=int(entry["step"]), **found)  # type: ignore[arg-type]


_NAMES = tuple(field.name for field in fields(Reading) if field.name != "step")
