r"""Steps measured where they hurt: the diagonal Fisher information of rows that must stay.

:math:`\varepsilon^\top F\,\varepsilon / 2` is, to second order, how far a small change
:math:`\varepsilon` of the weights moves the model's answers on those rows (natural gradient, Amari
1998; the empirical diagonal as in elastic weight consolidation, Kirkpatrick et al. 2017).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from holdfast.errors import DataError
from holdfast.ops.batches import Batch
from holdfast.ops.engine import Engine
from holdfast.ops.engines.sharded import whole
from holdfast.ops.gradients import Tensors, ascent_step, global_norm, scaled
from holdfast.ops.recompute import recomputes
from holdfast.ops.row_gradients import linear_factors, squares_of_batch
from holdfast.ops.weights import copied, put

__all__ = ["mean_squared_gradients", "natural_step", "preconditioned", "stepped", "summed"]


def mean_squared_gradients(
    engine: Engine, batches: Sequence[Batch], tick: Callable[[], None] = lambda: None
) -> Tensors:
    r"""Return :math:`F_i = \frac1{|V|}\sum_{v\in V} (\partial \ell_v/\partial w_i)^2`, in float32.

    A mean of squares over rows, never the square of a batch's mean gradient. Where all that is
    trained are weights of linear layers (a LoRA adapter), the rows of a batch share one pass; else,
    and where the user's own pass recomputes activations, each row has its own. Both are exact.

    Args:
        engine: The engine of the model at :math:`w`.
        batches: Rows, one sequence each; :math:`\ell_v` is the mean loss of a row's answer tokens.
        tick: Called after each batch.

    Raises:
        DataError: There is no row.
    """
    count = sum(len(batch["input_ids"]) for batch in batches)
    if not count:
        raise DataError("the Fisher information was asked for on no rows; give rows of the task")
    # A pass that rows share keeps what their layers read, which who recomputes has no memory for.
    layers = {} if recomputes(engine.model) else linear_factors(engine)
    found: Tensors = {}
    for batch in batches:
        for _, part in engine.parts(batch):
            squares = squares_of_batch(engine, part, layers) if layers else None
            squares = _row_by_row(engine, part) if squares is None else squares
            for name, own in squares.items():
                own.div_(count)
                found[name] = found[name].add_(own) if name in found else own
        tick()
    return found


def _row_by_row(engine: Engine, batch: Batch) -> Tensors:
    """Return the sum over a batch's rows of squared gradients, one backward pass for each."""
    found: Tensors = {}
    for number in range(len(batch["input_ids"])):
        row = {n: t[number : number + 1] if torch.is_tensor(t) else t for n, t in batch.items()}
        gradient, _ = engine.gradients([row])
        for name, part in gradient.items():
            square = part.float() ** 2
            found[name] = found[name].add_(square) if name in found else square
    return found


def preconditioned(
    gradient: Mapping[str, Tensor], fisher: Mapping[str, Tensor] | None, damping: float
) -> Tensors:
    r"""Return :math:`g / (1 + F/\delta)` with :math:`\delta = d\,\overline{F}`.

    It has the direction of :math:`g/(F+\delta)`, and is :math:`g` itself as :math:`d\to\infty`.

    Args:
        gradient: :math:`g`, one tensor per parameter.
        fisher: :math:`F` by the same names; None for the Euclidean metric.
        damping: :math:`d > 0`, in means of :math:`F` over all its entries.
    """
    if fisher is None:
        return dict(gradient)
    total = sum(float(whole(f.sum(dtype=torch.float64))) for f in fisher.values())
    delta = damping * total / sum(f.numel() for f in fisher.values())
    if delta == 0:  # No row feels any weight: every direction is as good as another.
        return dict(gradient)
    return {name: g / (1 + fisher[name] / delta) for name, g in gradient.items()}


def natural_step(
    gradient: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor] | None,
    damping: float,
    length: float,
) -> Tensors:
    r"""Return :math:`\rho\,u/\lVert u\rVert_2`, :math:`u = g/(F+\delta)`: up the loss of g.

    Args:
        gradient: :math:`g`, one tensor per parameter.
        fisher: :math:`F`, or None for the Euclidean metric: then it is Panacea's eq. 2.
        damping: :math:`d`, so that :math:`\delta = d\,\overline{F}`.
        length: :math:`\rho`, one global L2 norm; below 0 it is a step down the loss.
    """
    if fisher is None:
        return ascent_step(gradient, length)
    u = preconditioned(gradient, fisher, damping)
    # At the gradient's own length the floor of the norm is as small a matter as it is there.
    return ascent_step(scaled(u, global_norm(gradient) / (global_norm(u) or 1.0)), length)


def stepped(
    engine: Engine,
    gradient: Callable[[int], Mapping[str, Tensor]],
    fisher: Mapping[str, Tensor] | None,
    damping: float,
    lengths: Iterable[float],
) -> list[Tensors]:
    """Return one step for each length, each linearized where those before it have led.

    The weights are put back bit for bit, on errors too.

    Args:
        engine: The engine of the model.
        gradient: Returns the gradient at the weights as they are then; takes the step's number.
        fisher: F at the weights as they are now; it is not taken again.
        damping: d of ``natural_step``.
        lengths: ρ of each step; below 0 down the loss.
    """
    params = engine.parameters()
    kept, found = copied(params), list[Tensors]()
    try:
        for number, length in enumerate(lengths):
            found.append(natural_step(gradient(number), fisher, damping, length))
            engine.edit(found[-1])
    finally:
        put(params, kept)
    return found


def summed(steps: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Return the sum of steps, by name."""
    total = scaled(steps[0], 1.0)
    for step in steps[1:]:
        for name, part in step.items():
            total[name].add_(part)
    return total
