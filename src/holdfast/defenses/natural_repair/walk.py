"""Steps taken one after another, each linearized where the last one has led."""

from collections.abc import Callable, Mapping
from types import TracebackType

from torch import Tensor

from holdfast.ops.engine import Engine
from holdfast.ops.fisher import natural_step
from holdfast.ops.gradients import Tensors, scaled
from holdfast.ops.weights import copied, put

__all__ = ["Walk"]


class Walk:
    """A way through weight space; inside ``with`` the model may stand anywhere along it.

    At the end, and on errors, the weights are put back bit for bit.

    Args:
        engine: The engine of the model.
        gradient: Returns what to go up at the weights as they are; takes the step's number.
        fisher: F and the damping d of the metric; None for the Euclidean one.
        length: Length of each step.
    """

    def __init__(
        self,
        engine: Engine,
        gradient: Callable[[int], Mapping[str, Tensor]],
        fisher: tuple[Mapping[str, Tensor] | None, float],
        length: float,
    ) -> None:
        self._engine, self._gradient, self._fisher = engine, gradient, fisher
        self._length = length
        self._steps: list[Tensors] = []
        self._start: Tensors = {}

    def __enter__(self) -> "Walk":
        self._start = copied(self._engine.parameters())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        put(self._engine.parameters(), self._start)
        self._start = {}

    def go(self, place: float) -> None:
        """Put the model where ``place`` steps have led, taking those that are not taken yet."""
        while len(self._steps) < place:
            number = len(self._steps)
            self._stand(float(number))
            gradient = self._gradient(number)
            self._steps.append(natural_step(gradient, *self._fisher, self._length))
        self._stand(place)

    def change(self, place: float) -> Tensors:
        """Return what ``place`` steps add to the weights: whole steps, and a part of the last."""
        total: Tensors = {}
        for number, step in enumerate(self._steps):
            part = min(1.0, max(0.0, place - number))
            if part and not total:
                total = scaled(step, part)
            elif part:
                for name, tensor in step.items():
                    total[name].add_(tensor, alpha=part)
        return total

    def _stand(self, place: float) -> None:
        put(self._engine.parameters(), self._start)
        self._engine.edit(self.change(place))
