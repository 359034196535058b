"""One accessor for what a projection holds: its shape, its orientation, and its rows.

A linear layer stores its weight as (out, in), GPT-2's ``Conv1D`` as (in, out). A part of a fused
projection is a set of its output rows.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

__all__ = ["LINEAR", "Linear", "Part", "features", "oriented"]

LINEAR = (nn.Linear, Conv1D)
"""Classes of projections."""
Linear = nn.Linear | Conv1D


def features(module: nn.Module) -> tuple[int, int]:
    """Return the projection's (out, in)."""
    one: Any = module
    return (one.nf, one.nx) if isinstance(module, Conv1D) else (one.out_features, one.in_features)


def oriented(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return a matrix of the weight's shape as (out, in), or one of (out, in) as it is stored.

    A view: the two ways are the same.
    """
    return tensor.mT if isinstance(module, Conv1D) else tensor


@dataclass(frozen=True, eq=False)
class Part:
    """A projection, or rows of a fused one."""

    module: Linear
    rows: Tensor | None = None
    """Its output rows, ascending; None where it is all of the module."""

    @property
    def parameter(self) -> nn.Parameter:
        """The weight that it lies in, as it is stored."""
        return cast("nn.Parameter", self.module.weight)

    @property
    def weight(self) -> Tensor:
        """Its own weight, as it is stored: a copy where it is part of another."""
        return self.take(self.parameter)

    def take(self, stored: Tensor) -> Tensor:
        """Return this part of a tensor like the module's weight or bias."""
        if self.rows is None:
            return stored
        return stored.index_select(self._axis(stored), self.rows.to(stored.device))

    def spread(self, own: Tensor) -> Tensor:
        """Return a tensor like the module's weight that is ``own`` in this part and 0 elsewhere."""
        if self.rows is None:
            return own
        whole = torch.zeros_like(self.parameter, dtype=own.dtype, device=own.device)
        return whole.index_copy(self._axis(whole), self.rows.to(own.device), own)

    def outputs(self, output: Tensor) -> Tensor:
        """Return this part of what the module returns, (…, out)."""
        return output if self.rows is None else output[..., self.rows.to(output.device)]

    def _axis(self, stored: Tensor) -> int:
        return 1 if isinstance(self.module, Conv1D) and stored.dim() > 1 else 0
