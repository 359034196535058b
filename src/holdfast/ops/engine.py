"""The one door for extra passes and weight edits, so that no method knows how a model is sharded.

``LocalEngine`` serves one process; those of several processes are in ``ops.engines``. A defense
that only calls an engine need not know which one it has.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from holdfast.errors import DataError
from holdfast.ops.batches import Batch, parts_of
from holdfast.ops.bits import kept_trainable, refuse_packed
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.gradients import Tensors, collected, isolated_grads
from holdfast.ops.modules import trainable
from holdfast.ops.recompute import inference_mode_flags, recomputed
from holdfast.ops.weights import shift, shifted_weights

__all__ = ["Batch", "Engine", "LocalEngine", "Loss"]

Loss = Callable[[Batch], Tensor]


class Engine(Protocol):
    """What a defense may do to a model beside the user's own forward and backward."""

    model: nn.Module
    missing: Mapping[Capability, str]
    """What a defense cannot have here, and why: it is refused before step 0."""
    rank: int
    """Number of this process, from 0; the first one writes and speaks."""
    world: int
    """How many processes train this model."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by canonical name."""
        ...

    def forward(self, batch: Batch) -> Any:
        """Run the model on a batch as training does (autocast, no cache) and return its outputs."""
        ...

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of the batch's answer tokens, in nats per token, with its graph."""
        ...

    def gradients(
        self, batches: Iterable[Batch], loss: Loss | None = None
    ) -> tuple[Tensors, float]:
        """Return the gradient and value of the loss averaged over ``batches`` and processes.

        Every process calls it; those of the defenses all give the same batches.
        """
        ...

    def add_gradient(self, gradient: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add ``scale * gradient`` to what the user's pass left in ``.grad``."""
        ...

    def shifted(self, by: Mapping[str, Tensor], scale: float = 1.0) -> AbstractContextManager[None]:
        """Run the body at ``w + scale * by`` and restore ``w`` bit for bit."""
        ...

    def edit(self, by: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add ``scale * by`` to the weights for good."""
        ...

    def total(self, value: float) -> float:
        """Return the sum of a number over the processes; each calls it."""
        ...

    def parts(self, batch: Batch) -> Iterable[tuple[float, Batch]]:
        """Return what goes through the model at once, with each one's share of answer tokens."""
        ...

    def unreduced(self) -> AbstractContextManager[None]:
        """Run the user's passes of the body without averaging their gradients over processes.

        For a pass whose gradients are thrown away: nothing of it is sent.
        """
        ...


class LocalEngine:
    """An engine for one process with the whole model in it."""

    missing: Mapping[Capability, str] = {}
    rank: int = 0
    world: int = 1

    def __init__(
        self, model: nn.Module, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        refuse_packed(model)
        kept_trainable(model)  # Extra passes run without dropout, as if to answer.
        self.model = model
        self._autocast = autocast

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by canonical name."""
        return trainable(self.model)

    def forward(self, batch: Batch) -> Any:
        """Run the model without dropout: extra passes never move the user's random state."""
        with inference_mode_flags(self.model), self._autocast():
            return self.model(**self._on_device(batch), use_cache=False)

    def loss(self, batch: Batch) -> Tensor:
        """Return the model's own causal loss: the mean over labels that are not -100."""
        return self.forward(batch).loss

    def gradients(
        self, batches: Iterable[Batch], loss: Loss | None = None
    ) -> tuple[Tensors, float]:
        """Return the gradient and value of the loss averaged over ``batches``; ``.grad`` stays.

        Batches weigh alike, whatever their number of tokens. Without ``loss`` one of many tokens
        goes through the model in parts, with the same gradient.
        """
        batches = list(batches)
        if not batches:
            raise DataError("a gradient was asked for on no rows; give the defense's data rows")
        params, value = self.parameters(), 0.0
        with isolated_grads(params.values()), torch.enable_grad(), recomputed(self.model):
            for batch in batches:
                # Nobody knows how another loss weighs its tokens.
                for share, part in self.parts(batch) if loss is None else [(1.0, batch)]:
                    term = (loss or self.loss)(part) * share / len(batches)
                    if term.requires_grad:
                        self._backward(term)
                    value += float(term.detach())
            return collected(params), value

    def add_gradient(self, gradient: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add ``scale * gradient`` to ``.grad``, rounded once where it is of a finer type."""
        params = self.parameters()
        for name, extra in gradient.items():
            p = params[name]
            added = scale * extra if p.grad is None else p.grad.add(extra, alpha=scale)
            p.grad = added.to(p.dtype if p.grad is None else p.grad.dtype)

    def shifted(self, by: Mapping[str, Tensor], scale: float = 1.0) -> AbstractContextManager[None]:
        """Run the body at ``w + scale * by`` and restore ``w`` from a copy."""
        return shifted_weights(self.parameters(), by, scale)

    def edit(self, by: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add ``scale * by`` to the weights for good."""
        shift(self.parameters(), by, scale)

    def total(self, value: float) -> float:
        """Return the number: there is one process."""
        return value

    def parts(self, batch: Batch) -> Iterable[tuple[float, Batch]]:
        """Return what ``parts_of`` does; several processes all take the whole batch.

        They wait for one another in a pass, so each has to make as many.
        """
        return parts_of(batch) if self.world == 1 else [(1.0, batch)]

    def unreduced(self) -> AbstractContextManager[None]:
        """Do nothing: there is one process."""
        return nullcontext()

    def _backward(self, term: Tensor) -> None:
        """Add the gradient of a loss to ``.grad``."""
        term.backward()

    def _on_device(self, batch: Batch) -> dict[str, Tensor]:
        device = next(self.model.parameters()).device
        # A padding-free collator adds plain integers beside the tensors.
        return {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
