"""Several processes with the whole model in each: ``DistributedDataParallel``.

Every process makes the same decisions by the same seeds, so an extra pass runs on the same rows in
each, on the bare module, and its gradient is averaged over the processes once: with equal rows that
is the gradient of one process, and where a device rounds differently from pass to pass, it is the
same bits everywhere. The user's own pass goes through the wrapper, which reduces its gradient
before a hook at the end of an optimizer step sees it.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from holdfast.ops.engine import Batch, LocalEngine, Loss
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.engines.reduction import mean_over, summed_over
from holdfast.ops.gradients import Tensors

__all__ = ["DDPEngine"]


class DDPEngine(LocalEngine):
    """An engine for processes that each hold the whole model and train it on rows of their own."""

    def __init__(
        self,
        model: nn.Module,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        called: Callable[[], nn.Module | None] = lambda: None,
        missing: Mapping[Capability, str] | None = None,
    ) -> None:
        """Take the bare model.

        Args:
            model: The module inside the wrapper.
            autocast: As of ``LocalEngine``.
            called: Returns what training calls: the wrapper, or None before there is one.
            missing: What this run's wrapper cannot do, and why.
        """
        super().__init__(model, autocast)
        self.missing: Mapping[Capability, str] = dict(missing or {})
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self._called = called

    def gradients(
        self, batches: Iterable[Batch], loss: Loss | None = None
    ) -> tuple[Tensors, float]:
        """Return gradient and value as ``LocalEngine``, averaged over the processes once."""
        gradient, value = super().gradients(batches, loss)
        mean_over(gradient.values())
        return gradient, self.total(value) / self.world

    def total(self, value: float) -> float:
        """Return the sum of a number over the processes."""
        device = next(self.model.parameters()).device
        # Not every accelerator has float64, and gloo and NCCL both take it where it exists.
        kind = torch.float32 if device.type == "mps" else torch.float64
        return float(summed_over(torch.tensor(value, dtype=kind, device=device)))

    def unreduced(self) -> AbstractContextManager[None]:
        """Keep the wrapper from reducing what the user's passes in the body leave in ``.grad``."""
        wrapper: Any = self._called()
        return wrapper.no_sync() if hasattr(wrapper, "no_sync") else nullcontext()

    def _backward(self, term: Tensor) -> None:
        """Add the gradient to ``.grad`` past the wrapper.

        The wrapper's hooks sit where ``backward`` accumulates. Inside a user's forward pass they
        would take this for the user's own gradient, and never reduce that one.
        """
        params = list(self.parameters().values())
        found: Any = torch.autograd.grad(term, params, allow_unused=True)
        for p, part in zip(params, found, strict=True):
            if part is not None:
                p.grad = part.clone() if p.grad is None else p.grad.add_(part)
