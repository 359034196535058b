"""A defense whose strength may be moved while a run is on: where it stands is a learned field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from holdfast.defense import Defense
from holdfast.errors import ConfigError

__all__ = ["VALUE", "Steerable", "static_of", "steerable_of"]

VALUE = "value"


@dataclass
class Steerable(Defense):
    """Base of defenses with ``steer``; ``self.strength_now`` is what their hooks go by.

    Where nobody steers ``steered_`` is empty, and all is as without this class.
    """

    steered_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The strength that is steered to, and what its controller remembers."""
    steered: ClassVar[str] = ""
    """The field whose value ``steer`` stands in for."""
    bounds: ClassVar[tuple[float, float]] = (0.0, 0.0)
    """Least and greatest value that ``steer`` takes."""

    @property
    def steerable(self) -> tuple[float, float] | None:
        """Least and greatest value that ``steer`` takes."""
        return self.bounds

    @property
    def strength_now(self) -> float:
        """The value that was steered to, the field's own where nobody steers."""
        found: float = getattr(self, self.steered)
        return self.steered_.get(VALUE, found)

    def steer(self, value: float) -> None:
        """Act at ``value`` from the next optimizer step on.

        Raises:
            ConfigError: It cannot be steered at these settings, or the value is out of bounds.
        """
        low, high = steerable_of(self)
        if not low <= value <= high:
            raise ConfigError(
                f"{self.card.name}: {self.steered}={value!r} cannot be steered to: it must be in "
                f"[{low:g}, {high:g}]"
            )
        self.steered_[VALUE] = value

    def state(self) -> dict[str, Any]:
        """Return every learned field; what is steered only where somebody steers."""
        own = super().state()
        return own if self.steered_ else {n: v for n, v in own.items() if n != "steered_"}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the learned fields back."""
        super().load({"steered_": {}, **state})


def steerable_of(defense: Defense) -> tuple[float, float]:
    """Return the bounds of a defense that can be steered.

    Raises:
        ConfigError: It cannot, at these settings.
    """
    found = defense.steerable
    if found is None or not isinstance(defense, Steerable):
        raise ConfigError(
            f"{defense.card.name} cannot be steered at these settings: its strength is fixed once "
            "the run has begun (`holdfast list` says which can)"
        )
    return found


def static_of(defense: Defense) -> tuple[float, float]:
    """Return (the strength that the user set, the strength now) of a steerable defense."""
    own: Any = defense  # Who can be steered has been asked before.
    return float(getattr(own, own.steered)), float(own.strength_now)
