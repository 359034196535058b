r"""A vector present in training and absent when served: merged into the weights, or on hooks.

Merge identity: without weight decay and adapter dropout, an optimizer sees the same gradients
at :math:`\theta \oplus \theta_s` and at :math:`W + \Delta W`, so training the merged weights and
subtracting :math:`\Delta W` afterwards gives what training θ beside a frozen θ_s gives, and a
protected step costs what a plain one costs. A frozen weight is put back from a copy, bit for bit.
Where this identity holds is looked at in ``exactness``.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from holdfast.defenses.security_vectors.set_aside import SetAside
from holdfast.ops.gradients import Tensors
from holdfast.ops.low_rank import LowRank
from holdfast.ops.roles.parts import Linear


class Attachment:
    """One vector on one model; ``on`` and ``off`` as often as needed."""

    def __init__(self, model: nn.Module, vector: LowRank, scale: float, *, merged: bool) -> None:
        self._model, self._vector, self._scale, self._merged = model, vector, scale, merged
        self._hooks = ExitStack()
        self._is_on = False
        self._inside: dict[str, Tensor | None] = {}
        """Modules that hold ΔW now → copy of a frozen weight, None for a trained one.

        The copies lie in a file: a protected run must not double the memory of its base.
        """
        self._aside = SetAside()

    @torch.no_grad()
    def on(self, rounding: Tensors | None = None) -> None:
        """Attach, unless it is on. ``rounding`` is that of when the weights were saved."""
        if self._is_on:
            return
        self._is_on = True
        if not self._merged:
            self._hooks.enter_context(self._vector.hooked(self._model, self._scale))
            return
        for name, linear in self._vector.linears(self._model).items():
            weight = linear.weight
            change = self._vector.change(name, linear, self._scale)
            frozen = not weight.requires_grad
            self._inside[name] = self._aside.kept(name, weight) if frozen else None
            weight.add_(change)
            if rounding and name in rounding:
                weight.add_(rounding[name].to(weight.device))

    @torch.no_grad()
    def off(self) -> None:
        """Detach: frozen weights from their copy, trained ones by taking ΔW out."""
        self._hooks.close()
        linears = self._vector.linears(self._model) if self._inside else {}
        for name, copy in self._inside.items():
            weight = linears[name].weight
            change = self._vector.change(name, linears[name], self._scale)
            # Somebody may thaw a frozen weight while the vector is on, and train it.
            here = None if copy is None else copy.to(weight.device)
            # Added as ``on`` adds it: in a weight of low precision the sum is rounded.
            if here is not None and (weight.equal(here) or weight.equal(here.clone().add_(change))):
                weight.copy_(here)
            else:
                weight.sub_(change)
        self._inside.clear()
        self._is_on = False

    @contextmanager
    def paused(self) -> Generator[None]:
        """Run the body detached; then attach again, trained weights bit for bit as they were.

        What the body has changed in the weights stays. What is off already stays off.
        """
        if not self._is_on:
            yield
            return
        kept = {name: m.weight.detach().clone() for name, m in self._trained().items()}
        self.off()
        try:
            yield
        finally:
            self.on()
            self._undo_rounding(kept)

    @torch.no_grad()
    def _undo_rounding(self, kept: Tensors) -> None:
        """Put back ``kept``, the weights before a pause, wherever the pause left them alone."""
        linears = self._vector.linears(self._model) if kept else {}
        for name in kept:
            linear = linears[name]
            change = self._vector.change(name, linear, self._scale)
            untouched = linear.weight == (kept[name] - change) + change
            linear.weight.copy_(torch.where(untouched, kept[name], linear.weight))

    @torch.no_grad()
    def rounding(self) -> Tensors:
        r"""Return :math:`W - \mathrm{fl}(\mathrm{fl}(W - \Delta W) + \Delta W)` of trained weights.

        A checkpoint holds :math:`\mathrm{fl}(W - \Delta W)`. With this remainder, a rounding
        error that tells nothing of the vector, a resumed run starts from W bit for bit.
        """
        out: Tensors = {}
        for name, linear in self._trained().items():
            weight = linear.weight.detach()
            change = self._vector.change(name, linear, self._scale)
            out[name] = weight - ((weight - change) + change)
        return out

    def _trained(self) -> dict[str, Linear]:
        linears = self._vector.linears(self._model) if self._inside else {}
        inside = {name: linears[name] for name in self._inside}
        return {
            name: linear
            for name, linear in inside.items()
            if self._inside[name] is None or linear.weight.requires_grad
        }
