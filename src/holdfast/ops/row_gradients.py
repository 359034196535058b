r"""Gradients of each row of a batch in one pass, where all that is trained is linear.

Of a linear layer :math:`y = xW^\top` the gradient that row b alone has is
:math:`G_b = \sum_t g_{bt}\,x_{bt}^\top`, and its factors are at hand in a pass over the whole batch
(Goodfellow 2015, arXiv 1510.01799). So the squares of the rows' gradients cost one backward pass.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.engines.sharded import is_sharded
from holdfast.ops.gradients import Tensors, isolated_grads
from holdfast.ops.roles.names import canonical

__all__ = ["linear_factors", "norms_of_batch", "row_losses", "squares_of_batch"]


def linear_factors(engine: Engine) -> dict[str, nn.Linear]:
    """Return each trained tensor's linear layer by the tensor's name; none where one has no such.

    A tensor that two layers share counts as none: its rows' gradients would have two parts.
    """
    trained = engine.parameters()
    if any(map(is_sharded, trained.values())):  # A row's factors are whole, what is trained a part.
        return {}
    owners: dict[str, nn.Linear] = {}
    for name, module in engine.model.named_modules(remove_duplicate=False):
        weight = f"{canonical(name)}.weight"
        if isinstance(module, nn.Linear) and weight in trained:
            owners[weight] = module
    own, weights = ({id(x) for x in part} for part in (owners.values(), trained.values()))
    others = (m for m in engine.model.modules() if id(m) not in own)
    tied = any(id(p) in weights for m in others for p in m.parameters(recurse=False))
    shared = len(own) < len(owners) or tied
    return owners if owners.keys() == trained.keys() and not shared else {}


def row_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of each row's answer tokens, shape [B], in nats per token.

    Args:
        logits: Shape [B, T, V]; those at position t predict token t + 1.
        labels: Shape [B, T]; ``-100`` outside the answers. A row without any has loss 0.
    """
    wanted = labels[:, 1:].to(logits.device)
    asked = wanted != IGNORED
    tokens = nn.functional.cross_entropy(
        logits[:, :-1][asked].float(), wanted[asked], reduction="none"
    )
    rows = asked.nonzero()[:, 0]
    sums = torch.zeros(len(labels), device=logits.device).index_add(0, rows, tokens)
    return sums / asked.sum(1).clamp(min=1)


def squares_of_batch(
    engine: Engine, batch: Batch, layers: Mapping[str, nn.Linear]
) -> Tensors | None:
    r"""Return :math:`\sum_b (\partial \ell_b/\partial w)^2` over a batch's rows, in float32.

    None where a layer does not see the rows one after another (an expert gets tokens of any row),
    or its weight is read without a call of the layer.

    Args:
        engine: The engine of the model; extra passes draw no dropout.
        batch: Rows of one sequence each, with ``labels``.
        layers: What ``linear_factors`` returned, all that is trained.
    """
    seen = _watched(engine, batch, layers)
    return None if seen is None else seen.squares


def norms_of_batch(engine: Engine, batch: Batch, layers: Mapping[str, nn.Linear]) -> Tensor | None:
    r"""Return :math:`\lVert\partial\ell_b/\partial w\rVert^2` of each row over all w, shape [B].

    None, and the arguments, as ``squares_of_batch``.
    """
    seen = _watched(engine, batch, layers)
    return None if seen is None else seen.norms


def _watched(engine: Engine, batch: Batch, layers: Mapping[str, nn.Linear]) -> "_Seen | None":
    seen, trained = _Seen(layers, tuple(batch["input_ids"].shape[:2])), engine.parameters()
    with isolated_grads(trained.values()), torch.enable_grad(), seen.watching():
        outputs = engine.forward({k: v for k, v in batch.items() if k != "labels"})
        if seen.strange:
            return None
        row_losses(outputs.logits, batch["labels"]).sum().backward()
        # An adapter of stacked experts reads its factors' weights and never calls the layers.
        passed_by = any(trained[name].grad is not None for name in seen.uncalled)
    return None if passed_by else seen


class _Seen:
    """Collects the squares of each row's gradient while a backward pass runs.

    The gradients of a layer that is called more than once are added before they are squared.
    """

    def __init__(self, layers: Mapping[str, nn.Linear], shape: tuple[int, ...]) -> None:
        self.squares: Tensors = {n: torch.zeros_like(m.weight).float() for n, m in layers.items()}
        self.norms = torch.zeros(shape[0])
        self.strange = False
        self._layers, self._shape = layers, shape
        self._parts: dict[str, list[Tensor]] = {name: [] for name in layers}
        self._calls = dict.fromkeys(layers, 0)

    @property
    def uncalled(self) -> list[str]:
        """The tensors whose layers were not called."""
        return [name for name, calls in self._calls.items() if not calls]

    @contextmanager
    def watching(self) -> Generator[None]:
        """Hook the layers for the body."""
        handles = [m.register_forward_hook(self._watch(n)) for n, m in self._layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _watch(self, name: str) -> Any:
        def forward(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not output.requires_grad:
                return
            x = inputs[0].detach()
            self.strange |= x.shape[:-1].numel() != self._shape[0] * self._shape[1]
            self._calls[name] += 1
            output.register_hook(lambda gradient: self._add(name, gradient, x))

        return forward

    def _add(self, name: str, gradient: Tensor, x: Tensor) -> None:
        # g: [B, T, out], x: [B, T, in] -> [B, out, in]; some layers have B and T as one dimension.
        g, x = (t.float().reshape(*self._shape, t.shape[-1]) for t in (gradient, x))
        parts = self._parts[name]
        parts.append(torch.einsum("bto,bti->boi", g, x))
        if len(parts) == self._calls[name]:
            squares = torch.stack(parts).sum(0).square_()
            self.squares[name].add_(squares.sum(0))
            self.norms = self.norms.to(squares.device) + squares.sum((1, 2))
            parts.clear()
