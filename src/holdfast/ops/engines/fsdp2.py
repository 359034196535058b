"""Several processes that each hold a part of every tensor: FSDP2, ``fully_shard``.

Parameters, gradients and what is learned of them are DTensors; a method sees their names, shapes
and sums as those of one process. Three things differ, and are the engine's to know:

- ``torch.autograd.grad`` returns None here, so an extra pass is a whole ``backward``;
- what a user's earlier micro-batches accumulated without reducing lies in the wrapper, not in
  ``.grad``, and the next reducing ``backward`` would add it to its own: it is set aside;
- a forward without a backward leaves whole copies of some parameters behind, which later edits of
  the parts would not reach: they are dropped.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from holdfast.ops.engine import Batch, LocalEngine, Loss
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.engines.sharded import is_sharded, laid_out
from holdfast.ops.gradients import Tensors
from holdfast.ops.modules import trainable

__all__ = ["FSDP2Engine"]


class FSDP2Engine(LocalEngine):
    """An engine for processes that each hold a part of the model and train it on their own rows.

    Before the model is sharded, every process has the whole of it, and the engine is the local one.
    """

    def __init__(
        self,
        model: nn.Module,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        missing: Mapping[Capability, str] | None = None,
    ) -> None:
        """Take the model, which ``fully_shard`` changes in place.

        Args:
            model: The model, sharded or not yet.
            autocast: As of ``LocalEngine``.
            missing: What this run cannot do, and why.
        """
        super().__init__(model, autocast)
        self.missing = dict(missing or {})
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by canonical name, each process's part of them."""
        self._reshard()
        return trainable(self.model)

    def forward(self, batch: Batch) -> Any:
        """Run the model as ``LocalEngine``; no whole copy of a parameter is left behind."""
        try:
            return super().forward(batch)
        finally:
            self._reshard()  # A backward gathers anew what it needs.

    def gradients(
        self, batches: Iterable[Batch], loss: Loss | None = None
    ) -> tuple[Tensors, float]:
        """Return gradient and value averaged over ``batches`` and processes; ``.grad`` stays.

        Every process gives as many batches, or all wait for ever.
        """
        with _apart(self.model, reduced=True):
            gradient, value = super().gradients(batches, loss)
        return gradient, self.total(value) / self.world

    def add_gradient(self, gradient: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add ``scale * gradient`` to ``.grad``, where the user's reduced one comes as well."""
        params = self.parameters()
        super().add_gradient({n: laid_out(g, params[n]) for n, g in gradient.items()}, scale)

    def total(self, value: float) -> float:
        """Return the sum of a number over the processes."""
        found = torch.tensor(value, dtype=torch.float64, device=_device(self.model))
        dist.all_reduce(found)
        return float(found)

    def unreduced(self) -> AbstractContextManager[None]:
        """Run the user's passes of the body without sending their gradients, and drop these."""
        return _apart(self.model, reduced=False)

    def _reshard(self) -> None:
        for module in _sharded(self.model):
            module.reshard()


def _sharded(model: nn.Module) -> Iterator[FSDPModule]:
    return (module for module in model.modules() if isinstance(module, FSDPModule))


def _device(model: nn.Module) -> torch.device:
    first: Any = next(model.parameters())
    # Parts that are offloaded lie on the CPU, and messages go from device to device.
    return torch.device(first.device_mesh.device_type) if is_sharded(first) else first.device


@contextmanager
def _apart(model: nn.Module, *, reduced: bool) -> Generator[None]:
    """Run passes whose gradients do not mix with what the user's passes accumulated unreduced.

    Args:
        model: The sharded model.
        reduced: Whether gradients in the body are averaged over the processes into ``.grad``.
    """
    groups = [g for module in _sharded(model) for g in _groups(module)]
    flags = [(g, g.reduce_grads, g.all_reduce_grads, g._partial_reduce_output) for g in groups]
    pending = [(p, *_taken(p)) for g in groups for p in g.fsdp_params]
    for group in groups:
        group.reduce_grads = group.all_reduce_grads = reduced
        group._partial_reduce_output = None
    try:
        yield
    finally:
        for group, reduce, all_reduce, partial in flags:
            group.reduce_grads, group.all_reduce_grads = reduce, all_reduce
            group._partial_reduce_output = partial
        for param, accumulated, grad in pending:
            _taken(param)
            param.unsharded_accumulated_grad = accumulated
            if hasattr(param, "_unsharded_param"):
                param._unsharded_param.grad = grad


def _groups(module: Any) -> list[Any]:
    """Return the module's groups of parameters (private in torch 2.13, as all that is read here).

    No public name tells what was accumulated without being reduced.
    """
    return module._get_fsdp_state()._fsdp_param_groups


def _taken(param: Any) -> tuple[Tensor | None, Tensor | None]:
    """Take out what was accumulated unreduced: in the dtype of the reduction, in its own."""
    inner = getattr(param, "_unsharded_param", None)  # There is none before the first forward.
    found = param.unsharded_accumulated_grad, None if inner is None else inner.grad
    param.unsharded_accumulated_grad = None
    if inner is not None:
        inner.grad = None
    return found
