"""A few updates on one row, within a rank, from which the model can be put back bit for bit."""

from types import TracebackType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from holdfast.ops.engine import Batch, Engine
from holdfast.ops.engines.sharded import laid_out, whole
from holdfast.ops.gradients import Tensors, step_with
from holdfast.ops.weights import copied, put

OPTIMIZERS = ("sgd", "adamw")
"""How a gradient becomes a step: as it is, or by AdamW; both without decay."""


class How(NamedTuple):
    """How an update is made."""

    optimizer: str
    """One of ``OPTIMIZERS``."""
    lr: float
    rank: int = 0
    """Highest rank of each matrix's change; 0 leaves it free."""


def truncated(change: Tensor, rank: int) -> Tensor:
    r"""Return :math:`\sum_{i<k} \sigma_i u_i v_i^\top`, the nearest matrix of rank k.

    A vector has no rank and comes back whole, as does a matrix with a side of k or less. Of a stack
    of matrices each one is taken by itself.

    Args:
        change: What is added to a tensor, shape (…, out, in).
        rank: k, 1 or more; 0 returns the change as it is.
    """
    if rank == 0 or change.dim() < 2 or min(change.shape[-2:]) <= rank:
        return change
    u, s, vh = torch.linalg.svd(change.float(), full_matrices=False)
    near = (u[..., :rank] * s[..., None, :rank]) @ vh[..., :rank, :]
    return near.to(change.dtype)


class Updates:
    r"""Updates :math:`w \leftarrow w_T + P_k(w - \eta\,\nabla r - w_T)` on one row.

    r is the mean loss of the row's answer tokens, and :math:`P_k` keeps the k largest singular
    values of each matrix (all of them at rank 0). One update of SGD is the paper's low-rank form
    :math:`-\eta\sum_{i<k}\sigma_i u_i v_i^\top`; of several ones it is the whole change that has
    rank k. Inside ``with`` the model stands where the updates have led; at its end, and on errors,
    the weights are put back bit for bit.

    Args:
        engine: The engine of the model.
        row: One row, as a batch.
        how: Optimizer, learning rate and rank.
    """

    def __init__(self, engine: Engine, row: Batch, how: How) -> None:
        self._engine, self._row, self._how = engine, row, how
        self._start: Tensors = {}
        self._last: tuple[Tensors, Tensors] = ({}, {})
        self._optimizer = _optimizer(list(engine.parameters().values()), how)
        self.losses: list[float] = []
        """The row's loss before each update that was made."""

    def __enter__(self) -> "Updates":
        self._start = copied(self._engine.parameters())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        put(self._engine.parameters(), self._start)
        self._start, self._last = {}, ({}, {})

    def go(self, steps: float) -> None:
        """Make the updates that are missing to ``steps``."""
        while len(self.losses) < steps:
            self._last = (self._last[1], {})  # Freed first: no more than two places are held.
            self._update()
            self._last = (self._last[0], copied(self._engine.parameters()))

    def change(self, steps: float) -> Tensors:
        """Return what ``steps`` updates, all that were made or one less, have added."""
        if steps == 0:
            return {}
        there = self._last[1 - (len(self.losses) - int(steps))]
        return {name: value - self._start[name] for name, value in there.items()}

    def place(self, steps: float) -> Tensors:
        """Return the weights of that place: where ``steps`` updates have led."""
        return self._start if steps == 0 else self._last[1 - (len(self.losses) - int(steps))]

    def _update(self) -> None:
        params = self._engine.parameters()
        gradient, loss = self._engine.gradients([self._row])
        step_with(self._optimizer, params, gradient)
        if self._how.rank:
            self._bound(params)
        self.losses.append(loss)

    @torch.no_grad()
    def _bound(self, params: dict[str, nn.Parameter]) -> None:
        """Put each tensor where its change has no more than the rank; one in shards is joined."""
        for name, p in params.items():
            change = whole(p.detach() - self._start[name])
            near = truncated(change, self._how.rank)
            if near is not change:
                p.copy_(self._start[name] + laid_out(near, p))


def _optimizer(params: list[nn.Parameter], how: How) -> torch.optim.Optimizer:
    if how.optimizer == "sgd":
        return torch.optim.SGD(params, lr=how.lr)
    return torch.optim.AdamW(params, lr=how.lr, weight_decay=0.0)
