"""A low-rank change of the projections: attached by hooks, merged and taken out, saved for PEFT."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from holdfast.errors import ModelError
from holdfast.ops.modules import plain_name, projections
from holdfast.ops.roles.parts import Linear, features, oriented

__all__ = ["LowRank", "delta"]

Factors = dict[str, tuple[Tensor, Tensor]]
"""Plain module name → (A of shape (r, in), B of shape (out, r))."""


def delta(a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    r"""Return :math:`\Delta W = s\,BA`, shape (out, in)."""
    return scale * (b @ a)


@dataclass
class LowRank:
    r"""A LoRA-shaped change :math:`W \leftarrow W + s\,BA` of projections (arXiv 2106.09685)."""

    factors: Factors = field(default_factory=Factors)
    """A and B of each adapted module, by the module's plain name."""
    scale: float = 1.0
    """s = alpha / r."""

    @classmethod
    def zero(
        cls, model: nn.Module, rank: int, alpha: float, roles: frozenset[str] | None, seed: int
    ) -> "LowRank":
        """Return factors with A drawn as PEFT draws it (Kaiming uniform, a = √5) and B = 0."""
        rng = torch.Generator().manual_seed(seed)
        factors: Factors = {}
        for ref, linear in projections(model).items():
            if roles is not None and ref.role not in roles:
                continue
            rows, columns = features(linear)
            a = (torch.rand(rank, columns, generator=rng) * 2 - 1) * columns**-0.5
            b = torch.zeros(rows, rank)
            factors[ref.name] = (a.to(linear.weight.device), b.to(linear.weight.device))
        return cls(factors, alpha / rank)

    def tensors(self) -> dict[str, Tensor]:
        """Return the factors under PEFT's own names, with the scale folded into B."""
        out: dict[str, Tensor] = {}
        for name, (a, b) in self.factors.items():
            out[f"base_model.model.{name}.lora_A.weight"] = a.detach().float()
            out[f"base_model.model.{name}.lora_B.weight"] = (b.detach() * self.scale).float()
        return out

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "LowRank":
        """Read what ``tensors`` returned."""
        a, b = ".lora_A.weight", ".lora_B.weight"
        names = [key.removesuffix(a) for key in tensors if key.endswith(a)]
        return cls({plain_name(n): (tensors[n + a], tensors[n + b]) for n in names})

    def parameters(self) -> list[Tensor]:
        """Return all factors, A before B, in the order of the modules."""
        return [t for pair in self.factors.values() for t in pair]

    @contextmanager
    def hooked(self, model: nn.Module, strength: float = 1.0) -> Generator[None]:
        r"""Run the body with :math:`y \leftarrow Wx + \text{strength}\,s\,BAx` by forward hooks."""
        handles = [
            linear.register_forward_hook(self._hook(name, linear, strength * self.scale))
            for name, linear in self.linears(model).items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def change(self, name: str, linear: Linear, strength: float = 1.0) -> Tensor:
        """Return the ΔW of one module in float32, as and where the layer stores its weight."""
        a, b = (t.detach().to(linear.weight.device, torch.float32) for t in self.factors[name])
        return oriented(linear, delta(a, b, strength * self.scale))

    def linears(self, model: nn.Module) -> dict[str, Linear]:
        """Return the live layer of each adapted module.

        Raises:
            ModelError: The model has no such projection, or it has another shape.
        """
        live = {ref.name: linear for ref, linear in projections(model).items()}
        for name, (a, b) in self.factors.items():
            wanted = (b.shape[0], a.shape[1])
            found = features(live[name]) if name in live else None
            if found != wanted:
                has = "has none" if found is None else f"has shape {found}"
                raise ModelError(
                    f"the low-rank change has a projection {name!r} of shape {wanted}, and the "
                    f"model {has}: it was made for another model"
                )
        return {name: live[name] for name in self.factors}

    def _hook(self, name: str, linear: Linear, scale: float) -> Callable[..., Tensor]:
        # Factors read from a file lie on the CPU; ``to`` returns leaves on the device unchanged.
        a, b = (t.to(linear.weight.device) for t in self.factors[name])

        def add(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs[0]
            change = nn.functional.linear(nn.functional.linear(x.to(a.dtype), a), b)
            return output + (scale * change).to(output.dtype)

        return add
