"""Panacea's scale, chosen after training on a frontier of harm against task score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from holdfast.artifact import Curve
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import Batch, Engine


@dataclass(frozen=True)
class Point:
    """What one scale of the perturbation does, measured in teacher-forced passes."""

    scale: float
    """Multiple of ε that is added."""
    harmful_loss: float
    """Mean loss of the harmful answers' tokens, nats per token."""
    harmful_exact: float
    """Share of harmful answers that greedy decoding would give word for word."""
    task_exact: float | None = None
    """Share of validation answers that greedy decoding would give word for word."""
    task_tokens: float | None = None
    """Share of validation answer tokens that are the model's first choice."""

    def row(self) -> dict[str, float | None]:
        """Return the point as a JSON object."""
        return asdict(self)


def measure(
    engine: Engine,
    direction: Mapping[str, Tensor],
    scales: Iterable[float],
    harmful: Sequence[Batch],
    validation: Sequence[Batch] = (),
) -> list[Point]:
    """Return one ``Point`` per scale at ``w + scale * direction``; the weights are put back."""
    points: list[Point] = []
    for scale in scales:
        with engine.shifted(direction, scale):
            harm = agreement(engine, harmful)
            task = agreement(engine, validation) if validation else None
        found = (None, None) if task is None else (task[1], task[2])
        points.append(Point(scale, harm[0], harm[1], *found))
    return points


def choose_scale(points: Sequence[Point], max_task_drop: float) -> float:
    """Return the largest scale up to which every scale costs at most ``max_task_drop``.

    Both the exact and the token share of the validation answers must stay within the drop: long
    answers are never exact, and short ones hide damage in their tokens. The scan stops at the first
    scale over budget, so a lucky point beyond the knee is not taken.

    Args:
        points: One point per scale; the one of scale 0 is the reference.
        max_task_drop: Allowed drop of either share, in [0, 1].
    """
    ordered = sorted(points, key=lambda p: p.scale)
    base, best = ordered[0], ordered[0].scale
    for point in ordered[1:]:
        drops = (
            (base.task_exact or 0.0) - (point.task_exact or 0.0),
            (base.task_tokens or 0.0) - (point.task_tokens or 0.0),
        )
        if max(drops) > max_task_drop + 1e-9:
            break
        best = point.scale
    return best


def shown(points: Sequence[Point], scale: float) -> Curve:
    """Return the frontier as a report shows it, with the chosen scale."""
    series: dict[str, tuple[float | None, ...]] = {
        "harmful score": tuple(point.harmful_exact for point in points),
        "harmful loss, nats per token": tuple(point.harmful_loss for point in points),
        "task score": tuple(point.task_exact for point in points),
    }
    return Curve(
        "Panacea's frontier",
        "scale of the perturbation",
        tuple(point.scale for point in points),
        series,
        "The perturbation is computed once and its scale chosen after training, on validation "
        "data. The ring marks the chosen scale; one line for each seed.",
        marked=scale,
    )
