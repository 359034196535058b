"""Which way a repair goes: up and down which losses, as one gradient."""

from collections.abc import Sequence

from holdfast.errors import DataError
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import Tensors

__all__ = ["way_back"]

Term = tuple[float, Sequence[Batch]]
"""A weight, and the batches whose mean loss it weighs: above 0 upward, below 0 downward."""


def way_back(engine: Engine, terms: Sequence[Term]) -> Tensors:
    r"""Return :math:`g = \sum_t c_t \nabla\ell_t(w)`, the gradient of what a repair goes up.

    For ``direction=refusal`` it is :math:`-\nabla r - c\,\nabla b`: down the loss r of refusals to
    harmful prompts and down the loss b of right answers to harmless ones; ``harm`` has
    :math:`+\nabla h` in place of :math:`-\nabla r`, ``both`` has both.

    Args:
        engine: The engine of the model at w.
        terms: Weights c and batches; a loss is the mean over its batches, nats per token. Those of
            weight 0 or without a batch are left out.

    Raises:
        DataError: Nothing is left.
    """
    found: Tensors = {}
    for weight, batches in terms:
        if not weight or not batches:
            continue
        gradient, _ = engine.gradients(batches)
        for name, part in gradient.items():
            found[name] = found[name].add_(part, alpha=weight) if name in found else weight * part
    if not found:
        raise DataError("a repair needs a loss to go up or down; give refusals or harmful pairs")
    return found
