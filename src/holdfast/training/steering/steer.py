"""The controller: it moves a defense's strength so that the lead stays at its target."""

from collections.abc import Sequence
from typing import Any

from holdfast.errors import ConfigError
from holdfast.evaluation.drift import Reading
from holdfast.training.steering.rule import Rule, moved
from holdfast.training.steering.steerable import VALUE, Steerable, static_of, steerable_of

__all__ = ["Steer"]

INTEGRAL = "integral"
STRENGTH = "drift/strength"


class Steer:
    """Steers one defense to hold the lead at ``target``; give it to ``DriftWatch``.

    Its memory is a learned field of the defense, so that a run that was killed goes on exactly.
    The loop optimizes its own probe: what it holds is measured by a gate, with other prompts.

    Args:
        defense: One whose ``steerable`` is not None, at a strength above 0; also in the trainer's
            list, and given to ``Steer`` before the trainer is built.
        target: Lead to hold, nats per token.
        low: Least strength; by default the defense's least.
        high: Greatest strength; by default the defense's greatest.
        gains: ``kp``, ``ki``, ``rate`` and ``two_sided`` of ``Rule``.

    Raises:
        ConfigError: The defense cannot be steered, or the rule steers nowhere.
    """

    def __init__(
        self,
        defense: Steerable,
        target: float,
        *,
        low: float | None = None,
        high: float | None = None,
        **gains: Any,
    ) -> None:
        least, most = steerable_of(defense)
        bounds = least if low is None else low, most if high is None else high
        if not least <= bounds[0] <= bounds[1] <= most:
            raise ConfigError(
                f"`steer`: the bounds {bounds[0]:g} and {bounds[1]:g} must lie in "
                f"[{least:g}, {most:g}], which {defense.card.name} takes"
            )
        self.defense = defense
        self.rule = Rule(float(target), static_of(defense)[0], *bounds, **gains)
        self.values: list[float] = []
        """The strength after each look."""
        defense.steer(self.rule.start)

    def goes_on(self, readings: Sequence[Reading], trainer: Any) -> None:
        """Begin at the user's strength; a run that goes on has its own in its checkpoint."""
        if self.defense not in trainer._holdfast.defenses:
            raise ConfigError(
                f"`steer`: {self.defense.card.name} is not among the run's defenses; give the "
                "trainer the same object"
            )
        logged = trainer.state.log_history if readings else ()
        self.values = [entry[STRENGTH] for entry in logged if STRENGTH in entry][: len(readings)]
        if not readings:
            self.defense.steered_ = {VALUE: self.rule.start, INTEGRAL: 0.0}
        elif VALUE not in self.defense.steered_:
            raise ConfigError(
                "`steer`: the checkpoint is of a run that was not steered; start anew, or go on "
                "without it"
            )

    def saw(self, readings: Sequence[Reading], trainer: Any, control: Any) -> dict[str, float]:
        """Move the strength by the newest look, and return it for the log."""
        del trainer, control
        own, look = self.defense.steered_, readings[-1]
        value, integral = moved(
            self.rule, own[VALUE], own.get(INTEGRAL, 0.0), look.lead, look.lead_se
        )
        self.defense.steer(value)
        own[INTEGRAL] = integral
        self.values.append(value)
        return {STRENGTH: value}
