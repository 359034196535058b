"""Limits by which ``defense=auto`` chooses; nothing heavy is imported."""

from dataclasses import dataclass, field
from typing import Any

from holdfast.errors import ConfigError

__all__ = ["AUTO", "ChoiceOptions", "refuse_unused_limits"]

AUTO = "auto"
"""In a defense's place: the one that holds the limits."""


@dataclass(kw_only=True)
class ChoiceOptions:
    """What ``defense=auto`` chooses by; without it none of these is taken."""

    require: list[str] = field(default_factory=list[str])
    """With --defense auto: a limit in quotes, 'hs<=.05', 'task_drop<=.05'; repeat for several."""
    confidence: float | None = None
    """With --defense auto: how sure the claim has to be; .95 without it."""
    budget: float | None = None
    """With --defense auto: most training that the search may take, in plain runs; 20 without it."""


def refuse_unused_limits(config: Any) -> None:
    """Raise ``ConfigError`` where limits are given and nothing is chosen by them."""
    if not isinstance(config, ChoiceOptions):
        return
    for name in ("require", "confidence", "budget"):
        if value := getattr(config, name):
            told = value[0] if isinstance(value, list) else f"{value:g}"
            raise ConfigError(
                f"`{name}={told}` is what `defense=auto` chooses by: add that; or hold the tuned "
                "model against limits with `holdfast evaluate`"
            )
