"""A batch of tokens: which example each belongs to, and parts that memory has room for."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["IGNORED", "MOST_TOKENS", "Batch", "count_examples", "example_ids", "parts_of"]

Batch = Mapping[str, Tensor]
IGNORED = -100
"""Label of a token that no loss asks for."""
MOST_TOKENS = 2048
"""Most tokens of one extra pass. Logits take most of its memory, 0.6 GB with a vocabulary of 49,152
in bfloat16 and float32; a batch of 25 long rows once took a model of 135M to 14 GB."""


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


def parts_of(batch: Batch, most: int = MOST_TOKENS) -> Iterator[tuple[float, Batch]]:
    r"""Yield the batch cut by rows, each part with its share :math:`n_k/\sum_j n_j` of tokens.

    A mean loss over answer tokens is :math:`\ell = \sum_k \frac{n_k}{n}\,\ell_k` over the parts,
    and so is its gradient. A batch of few tokens, or one that cannot be cut by rows (rows joined to
    one, an image beside the text), comes as it is with a share of 1. Rows without an answer token
    may be left out.

    Args:
        batch: ``input_ids`` and ``labels``, shape [B, T], and what goes with them.
        most: Most tokens of a part; a longer row is a part by itself.
    """
    rows, width = batch["input_ids"].shape[:2]
    whole = rows * width <= most or any(
        not torch.is_tensor(t) or t.ndim == 0 or len(t) != rows for t in batch.values()
    )
    asked = (batch["labels"][:, 1:] != IGNORED).sum(dim=1).tolist() if not whole else []
    if not sum(asked):
        yield 1.0, batch
        return
    size = max(1, most // width)
    for first in range(0, rows, size):
        share = sum(asked[first : first + size]) / sum(asked)
        if share:
            yield share, {name: t[first : first + size] for name, t in batch.items()}
