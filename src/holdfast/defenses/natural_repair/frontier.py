"""How far a repair goes: places along its way, what each costs, and the last one allowed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from holdfast.artifact import Curve

__all__ = ["Budget", "Place", "chosen", "shown", "within"]


@dataclass(frozen=True)
class Place:
    """What the model is like at one place along the way."""

    steps: float
    """Steps taken, the last one in part."""
    refusal_loss: float
    """Mean loss of the refusals' tokens, nats per token."""
    answered: float | None = None
    """Share of the defender's harmful prompts that are not refused."""
    over_refusal: float | None = None
    """Share of harmless prompts that are refused."""
    task_exact: float | None = None
    """Share of validation answers that greedy decoding would give word for word."""
    task_tokens: float | None = None
    """Share of validation answer tokens that are the model's first choice."""

    def row(self) -> dict[str, float | None]:
        """Return the place as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """What a repair may cost."""

    task_drop: float
    """Largest drop of either share of the validation answers, in [0, 1]."""
    over_refusal: float
    """Largest rise of the share of harmless prompts that are refused, in [0, 1]."""
    reference: float | None = None
    """Over-refusal to count the rise from; None: that of the first place."""

    @property
    def nothing(self) -> bool:
        """Whether nothing at all may be spent: then the model is left alone."""
        return 0 in (self.task_drop, self.over_refusal)

    def allows(self, first: Place, place: Place) -> bool:
        """Tell whether ``place`` costs no more than this, measured from the ``first`` one."""
        start = first.over_refusal if self.reference is None else self.reference
        costs = (
            (_fell(first.task_exact, place.task_exact), self.task_drop),
            (_fell(first.task_tokens, place.task_tokens), self.task_drop),
            (_fell(place.over_refusal, start), self.over_refusal),
        )
        return all(cost <= most + 1e-9 for cost, most in costs)


def _fell(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else before - after


def within(
    go: Callable[[float], None],
    measure: Callable[[float], Place],
    places: Sequence[float],
    budget: Budget,
    enough: float | None = None,
) -> list[Place]:
    """Walk on while places are within the budget; return all that were seen, that of no step first.

    The walk ends at the first place over budget, which is the last of the list, so that a lucky
    place behind the knee is never reached.

    Args:
        go: Puts the model where so many steps lead.
        measure: Measures the model as it is; takes the steps for the record.
        places: Steps at which it is measured, rising.
        budget: What may be spent; where it is nothing, no step is taken.
        enough: The walk also ends where no more than this share of the harmful prompts is answered.
    """
    seen = [measure(0.0)]
    for steps in () if budget.nothing else places:
        go(steps)
        seen.append(measure(steps))
        answered = seen[-1].answered
        done = enough is not None and answered is not None and answered <= enough
        if done or not budget.allows(seen[0], seen[-1]):
            break
    return seen


def chosen(seen: Sequence[Place], budget: Budget) -> Place:
    """Return the farthest place within the budget; ``seen`` is what ``within`` returned."""
    return max((p for p in seen if budget.allows(seen[0], p)), key=lambda p: p.steps)


def shown(seen: Sequence[Place], steps: float, name: str) -> Curve:
    """Return the frontier as a report shows it, with the chosen place."""
    series: dict[str, tuple[float | None, ...]] = {
        "harmful prompts answered": tuple(p.answered for p in seen),
        "harmless prompts refused": tuple(p.over_refusal for p in seen),
        "task score": tuple(p.task_exact for p in seen),
        "task tokens": tuple(p.task_tokens for p in seen),
        "loss of refusals, nats per token": tuple(p.refusal_loss for p in seen),
    }
    kept = {title: values for title, values in series.items() if any(v is not None for v in values)}
    return Curve(
        f"How far {name} went",
        "steps",
        tuple(p.steps for p in seen),
        kept,
        "Each step is linearized anew. The ring marks the place that was chosen: the farthest "
        "within the task budget and the over-refusal budget; one line for each seed.",
        marked=steps,
    )
