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

from holdfast.errors import ConfigError
from holdfast.ops.gradients import Tensors
from holdfast.ops.low_rank import LowRank

Mode = Literal["auto", "merged", "hooks"]


class Attachment:
    """One vector on one model; ``on`` and ``off`` as often as needed."""

    def __init__(self, model: nn.Module, vector: LowRank, scale: float, *, merged: bool) -> None:
        self._model, self._vector, self._scale, self._merged = model, vector, scale, merged
        self._hooks = ExitStack()
        self._inside: dict[str, Tensor | None] = {}
        """Modules that hold ΔW now → copy of a frozen weight, None for a trained one.

        The copies lie on the CPU: the accelerator's memory is what a protected run must not double.
        """

    @torch.no_grad()
    def on(self, rounding: Tensors | None = None) -> None:
        """Attach. ``rounding`` is what ``rounding()`` returned when the weights were saved."""
        if not self._merged:
            self._hooks.enter_context(self._vector.hooked(self._model, self._scale))
            return
        for name, linear in self._vector.linears(self._model).items():
            weight = linear.weight
            change = self._vector.change(name, linear, self._scale)
            frozen = not weight.requires_grad
            self._inside[name] = weight.detach().to("cpu", copy=True) if frozen else None
            weight.add_(change)
            if rounding and name in rounding:
                weight.add_(rounding[name].to(weight.device))

    @torch.no_grad()
    def off(self) -> None:
        """Detach: frozen weights from their copy, trained ones by taking ΔW out."""
        self._hooks.close()
        if not self._inside:
            return
        linears = self._vector.linears(self._model)
        for name, copy in self._inside.items():
            linear = linears[name]
            if copy is None:
                linear.weight.sub_(self._vector.change(name, linear, self._scale))
            else:
                linear.weight.copy_(copy)
        self._inside.clear()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Run the body detached; then attach again, trained weights bit for bit as they were."""
        kept = {name: m.weight.detach().clone() for name, m in self._trained().items()}
        self.off()
        try:
            yield
        finally:
            self.on()
            with torch.no_grad():
                for name, linear in self._trained().items():
                    linear.weight.copy_(kept[name])

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

    def _trained(self) -> dict[str, nn.Linear]:
        names = [name for name, copy in self._inside.items() if copy is None]
        linears = self._vector.linears(self._model) if names else {}
        return {name: linears[name] for name in names}


def use_merged(model: nn.Module, vector: LowRank, mode: Mode, weight_decay: float) -> bool:
    """Tell whether to merge; ``auto`` merges where that is exact.

    It is not where decay would shrink ΔW together with a trained weight, nor where a weight is of
    low precision, in which much of ΔW would round away.

    Raises:
        ConfigError: ``merged`` was asked for and the weights are quantized integers.
    """
    weights = [linear.weight for linear in vector.linears(model).values()]
    if mode == "merged" and not all(w.is_floating_point() for w in weights):
        raise ConfigError(
            "security_vectors: attach='merged' cannot add to quantized weights; use attach='auto'"
        )
    if mode != "auto":
        return mode == "merged"
    decays = weight_decay != 0 and any(w.requires_grad for w in weights)
    return not decays and all(w.dtype == torch.float32 for w in weights)
