"""How a loss's gradient changes one normalized step away: the term of Panacea and of Booster."""

from typing import NamedTuple

from holdfast.ops.engine import Batch, Engine, Loss
from holdfast.ops.gradients import Tensors, ascent_step

__all__ = ["Lookahead", "add_gradient_change"]


class Lookahead(NamedTuple):
    """What the two passes saw."""

    direction: Tensors
    """ε, one tensor per trainable parameter."""
    loss_here: float
    """The loss at w, nats per token."""
    loss_there: float | None
    """The loss at w + sign·ε; None where the weight is 0 and that pass did not run."""


def add_gradient_change(
    engine: Engine,
    batch: Batch,
    radius: float,
    weight: float,
    *,
    sign: float = 1.0,
    loss_there: Loss | None = None,
) -> Lookahead:
    r"""Add :math:`c\,(\nabla h(w) - \nabla h(w + s\,\varepsilon))` to ``.grad``.

    :math:`\varepsilon = \rho\,\nabla h(w)/\lVert\nabla h(w)\rVert_2` is held fixed, so no second
    derivative is taken. Panacea looks up the loss (:math:`s = 1`), Booster down it (:math:`-1`).
    Two passes; at most three copies of the trainable tensors live at a time.

    Args:
        engine: The engine of the model at :math:`w`.
        batch: The rows whose mean loss is :math:`h`.
        radius: Length :math:`\rho \ge 0` of ε in raw parameter space.
        weight: :math:`c`. At 0 ε is computed and nothing is added: one pass.
        sign: :math:`s`: 1 looks up the loss, -1 down.
        loss_there: Another loss for the pass at :math:`w + s\,\varepsilon`.
    """
    here, loss_here = engine.gradients([batch])
    direction = ascent_step(here, radius)
    if weight == 0:
        return Lookahead(direction, loss_here, None)
    engine.add_gradient(here, weight)
    del here
    with engine.shifted(direction, sign):
        there, value = engine.gradients([batch], loss_there)
    engine.add_gradient(there, -weight)
    return Lookahead(direction, loss_here, value)
