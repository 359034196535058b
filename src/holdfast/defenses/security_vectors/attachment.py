r"""A vector present in training and absent when served: merged into the weights, or on hooks.

Merge identity: without weight decay and adapter dropout, an optimizer sees the same gradients
at :math:`\theta \oplus \theta_s` and at :math:`W + \Delta W`, so training the merged weights and
subtracting :math:`\Delta W` afterwards gives what training θ beside a frozen θ_s gives, and a
protected step costs what a plain one costs. A frozen weight is put back from a copy, bit for bit.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from holdfast.ops.gradients import Tensors
from holdfast.ops.low_rank import LowRank

Mode = Literal["auto", "merged", "hooks"]


class Attachment:
    """One vector on one model; ``on`` and ``off`` as often as needed."""

    def __init__(self, model: nn.Module, vector: LowRank, scale: float, *, merged: bool) -> None:
        self._model, self._vector, self._scale, self._merged = model, vector, scale, merged
        self._hooks = ExitStack()
        self._frozen: Tensors = {}
        self._seen: Tensors = {}

    def _parts(self) -> dict[str, tuple[nn.Linear, Tensor]]:
        return self._vector.deltas(self._model, self._scale)

    @torch.no_grad()
    def on(self, rounding: Tensors | None = None) -> None:
        """Attach. ``rounding`` is what ``rounding()`` returned when the weights were saved."""
        if not self._merged:
            self._hooks.enter_context(self._vector.hooked(self._model, self._scale))
            return
        for name, (linear, change) in self._parts().items():
            weight = linear.weight
            if not weight.requires_grad:
                self._frozen[name] = weight.detach().clone()
            weight.add_(change)
            if rounding and name in rounding:
                weight.add_(rounding[name].to(weight.device))

    @torch.no_grad()
    def off(self) -> None:
        """Detach: frozen weights from their copy, trained ones by taking ΔW out."""
        self._hooks.close()
        if self._merged:
            for name, (linear, change) in self._parts().items():
                if name in self._frozen:
                    linear.weight.copy_(self._frozen[name])
                else:
                    linear.weight.sub_(change)
            self._frozen.clear()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Run the body detached; then attach again, trained weights bit for bit as they were."""
        kept = self._trained() if self._merged else {}
        kept = {name: weight.detach().clone() for name, weight in kept.items()}
        self.off()
        try:
            yield
        finally:
            self.on()
            with torch.no_grad():
                for name, weight in self._trained().items():
                    weight.copy_(kept[name])

    @torch.no_grad()
    def rounding(self) -> Tensors:
        r"""Return :math:`W - \mathrm{fl}(\mathrm{fl}(W - \Delta W) + \Delta W)` of trained weights.

        A checkpoint holds :math:`\mathrm{fl}(W - \Delta W)`. With this remainder, a rounding
        error that tells nothing of the vector, a resumed run starts from W bit for bit.
        """
        out: Tensors = {}
        if self._merged:
            for name, (linear, change) in self._parts().items():
                if name not in self._frozen:
                    weight = linear.weight.detach()
                    out[name] = weight - ((weight - change) + change)
        return out

    def _trained(self) -> Tensors:
        if not self._merged:
            return {}
        return {n: m.weight for n, (m, _) in self._parts().items() if n not in self._frozen}


def may_merge(model: nn.Module, vector: LowRank, weight_decay: float) -> bool:
    """Tell whether merging is exact: decay would shrink ΔW together with a trained weight."""
    trained = any(m.weight.requires_grad for m, _ in vector.deltas(model).values())
    return not trained or weight_decay == 0
