r"""Weights held where they matter: elastic weight consolidation (arXiv 1612.00796) and L2-SP.

.. math::
    \frac\lambda2 \sum_i F_i\,(\theta_i - \theta_{0,i})^2, \qquad
    F_i = \frac1{|M|}\sum_{v\in M}\Big(\frac{\partial}{\partial\theta_i}
        \sum_{t}-\log p(y_t\mid x_v, y_{<t})\Big)^2
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from holdfast.errors import DataError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.engines.sharded import whole
from holdfast.ops.fisher import mean_squared_gradients
from holdfast.ops.gradients import Tensors


def importance(
    engine: Engine, batches: Sequence[Batch], tick: Callable[[], None] = lambda: None
) -> Tensors:
    r"""Return :math:`F_i`: squares of each row's own gradient, their mean over rows, in float32.

    A row's gradient is that of the log-likelihood of its whole answer, summed over its tokens
    before it is squared. The square of a batch's gradient would be another thing: rows that pull
    apart cancel in it.

    Args:
        engine: The engine of the model, at θ0.
        batches: M, one sequence a row.
        tick: Called after each batch.

    Raises:
        DataError: There is no row.
    """
    rows = sum(len(batch["input_ids"]) for batch in batches)
    if not rows:
        raise DataError("memory_anchor: importance was asked for on no rows; give rows of `safe`")
    found: Tensors = {}
    for batch in batches:
        for tokens, part in by_answer_length(batch):
            # Squares of means over a row's tokens; n² makes them squares of sums.
            weight = tokens**2 * len(part["input_ids"]) / rows
            for name, square in mean_squared_gradients(engine, [part]).items():
                own = square.mul_(weight)
                found[name] = found[name].add_(own) if name in found else own
        tick()
    return found


def by_answer_length(batch: Batch) -> Iterator[tuple[int, Batch]]:
    """Yield the rows that have n answer tokens together, for each n above 0 in order."""
    counts = (batch["labels"][:, 1:] != IGNORED).sum(1)
    for n in sorted({*counts.tolist()} - {0}):
        chosen = counts == n
        yield (
            int(n),
            {
                name: t[chosen] if torch.is_tensor(t) and len(t) == len(counts) else t
                for name, t in batch.items()
            },
        )


def pull(
    weights: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    matters: Mapping[str, Tensor] | None,
    lam: float,
) -> Tensors:
    r"""Return the term's gradient :math:`\lambda F\odot(\theta - \theta_0)`, in float32.

    Args:
        weights: θ, the trained tensors.
        start: θ0, by the same names, shapes and layout.
        matters: F likewise; None for 1 everywhere (L2-SP).
        lam: λ ≥ 0.
    """
    found: Tensors = {}
    for name, w in weights.items():
        moved = w.detach().float() - start[name].float()
        found[name] = lam * (moved if matters is None else matters[name] * moved)
    return found


def penalty(
    weights: Mapping[str, Tensor], start: Mapping[str, Tensor], pulls: Mapping[str, Tensor]
) -> float:
    r"""Return the term itself, :math:`\frac12\langle\text{pull}, \theta - \theta_0\rangle`.

    Of sharded tensors it is that of the whole ones; every process asks for it.
    """
    total = 0.0
    for name, by in pulls.items():
        moved = weights[name].detach().float() - start[name].float()
        total += float(whole((by * moved).sum(dtype=torch.float64)))
    return total / 2
