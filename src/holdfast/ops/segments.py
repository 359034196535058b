"""Which example each token of a batch belongs to, also where a collator joined several in a row."""

from typing import Any

import torch
from torch import Tensor

from holdfast.ops.engine import Batch

__all__ = ["IGNORED", "count_examples", "example_ids"]

IGNORED = -100
"""Label of a token that no loss asks for."""


def example_ids(batch: Batch) -> Tensor:
    """Return the number of the example that each position belongs to, shape [B, T].

    An example begins with each row and, in a padding-free or packed batch, wherever
    ``position_ids`` start anew, ``seq_idx`` changes or ``cu_seq_lens_q`` says so.
    """
    begins = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
    begins[:, :1] = True
    positions, index, borders = (_marks(batch, n) for n in _KINDS)
    if positions is not None and positions.shape == begins.shape:
        begins |= positions == 0
    elif index is not None and index.shape == begins.shape:
        begins[:, 1:] |= index[:, 1:] != index[:, :-1]
    elif borders is not None and len(begins) == 1:
        begins[0, borders[:-1].long()] = True
    return begins.flatten().cumsum(0).view(begins.shape) - 1


_KINDS = ("position_ids", "seq_idx", "cu_seq_lens_q")


def _marks(batch: Batch, name: str) -> Tensor | None:
    found: Any = batch.get(name)
    return found.cpu() if torch.is_tensor(found) else None


def count_examples(batch: Batch) -> int | None:
    """Return the number of examples with an answer token; None for what is no batch of tokens."""
    if "input_ids" not in batch or "labels" not in batch:
        return None
    asked = batch["labels"].cpu()[:, 1:] != IGNORED
    return len(example_ids(batch)[:, 1:][asked].unique())
