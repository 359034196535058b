"""RESTA's edit by a vector that was read from a file, one weight at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import ModuleRef


@dataclass
class WeightByWeight:
    r"""Adds :math:`\text{DARE}_p(\theta - \theta_o) - (\theta - \theta_o) - \gamma\,\delta_h`."""

    vector: LowRank
    origin: SavedWeights | None
    """θ_o, where DARE drops entries."""
    states: Mapping[str, Tensor]
    """Module → state of the generator before its draw: files come in another order than weights."""
    realign: Callable[[Tensor, Tensor | None, Tensor, torch.Generator], Tensor]
    """(θ, θ_o, δ_h, generator) → what is added to θ."""
    finish: Callable[[float], Artifact]
    """‖δ_h‖₂ → the artifact."""
    squares: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def of(
        cls, model: nn.Module, vector: LowRank, aligned: str | None, rest: tuple[Any, Any],
        seed: int | None,
    ) -> "WeightByWeight":  # fmt: skip
        """Return it with the folders looked at; ``seed`` is DARE's, None where none is drawn.

        Raises:
            ModelError: The vector, or the folder's model, is of another model.
        """
        linears, states = vector.linears(model), dict[str, Tensor]()
        saved = None if aligned is None else open_weights(aligned, "resta: aligned", model)
        rng = torch.Generator().manual_seed(seed or 0)
        for name, linear in linears.items():
            if saved is not None:
                saved.check(f"{name}.weight", linear.weight.shape)
            states[name] = rng.get_state()
            if seed is not None:
                torch.rand(linear.weight.shape, generator=rng)
        return cls(vector, saved if seed is not None else None, states, *rest)

    def edit(self, ref: ModuleRef, linear: Any) -> Tensor | None:
        """Return the edit of one weight, or None where the vector has nothing of it."""
        if ref.name not in self.vector.factors:
            return None
        direction = self.vector.change(ref.name, linear)
        self.squares[ref.name] = float(torch.linalg.vector_norm(direction, dtype=torch.float64))
        rng = torch.Generator()
        rng.set_state(self.states[ref.name])
        before = None
        if self.origin is not None:
            before = self.origin.read(f"{ref.name}.weight", linear.weight)
        return self.realign(linear.weight.detach(), before, direction, rng)

    def artifact(self) -> Artifact:
        """Return the report of the whole edit."""
        return self.finish(sum(norm**2 for norm in self.squares.values()) ** 0.5)
