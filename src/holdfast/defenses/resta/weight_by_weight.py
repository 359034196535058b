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
    aligned: SavedWeights | None
    """θ_o, where its folder is given."""
    drops: bool
    """DARE drops entries of θ − θ_o."""
    states: Mapping[str, Tensor]
    """Module → state of the generator before its draw: files come in another order than weights."""
    realign: Callable[[Tensor, Tensor | None, Tensor, torch.Generator], Tensor]
    """(θ, θ_o, δ_h, generator) → what is added to θ."""
    finish: Callable[[float], Artifact]
    """‖δ_h‖₂ → the artifact."""
    told: Callable[[float, float, float], list[str]]
    """‖δ_h‖₂, ‖θ − θ_o‖₂ and ‖θ_o‖₂ → what is said of the repair."""
    norms: dict[str, tuple[float, float, float]] = field(
        default_factory=dict[str, tuple[float, float, float]]
    )

    @classmethod
    def of(
        cls, model: nn.Module, vector: LowRank, aligned: str | None,
        rest: tuple[Any, Any, Any], seed: int | None,
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
        return cls(vector, saved, seed is not None, states, *rest)

    def edit(self, ref: ModuleRef, linear: Any) -> Tensor | None:
        """Return the edit of one weight, or None where the vector has nothing of it."""
        if ref.name not in self.vector.factors:
            return None
        direction = self.vector.change(ref.name, linear)
        now, before = linear.weight.detach(), None
        if self.aligned is not None:
            before = self.aligned.read(f"{ref.name}.weight", linear.weight)
        self.norms[ref.name] = (
            _norm(direction),
            0.0 if before is None else _norm(now - before),
            0.0 if before is None else _norm(before),
        )
        rng = torch.Generator()
        rng.set_state(self.states[ref.name])
        return self.realign(now, before if self.drops else None, direction, rng)

    def artifact(self) -> Artifact:
        """Return the report of the whole edit."""
        return self.finish(self._norms()[0])

    def notes(self) -> list[str]:
        """Return what is said of the repair."""
        return self.told(*self._norms())

    def _norms(self) -> tuple[float, float, float]:
        """Return each norm over all weights."""
        columns = zip(*self.norms.values(), strict=True)
        direction, apart, size = (sum(norm**2 for norm in column) ** 0.5 for column in columns)
        return direction, apart, size


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
