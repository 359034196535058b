"""Randomness with a seed that nobody else notices."""

import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from holdfast.ops.engines.sharded import laid_out

__all__ = ["derived_seed", "gaussian", "isolated_rng", "shuffled"]


T = TypeVar("T")


@contextmanager
def isolated_rng(seed: int) -> Generator[None]:
    """Seed Python, NumPy and torch for the body; then put the three global states back.

    NumPy's legacy global state is kept because ``datasets`` and ``Trainer`` still draw from it.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def derived_seed(*parts: object) -> int:
    """Return a seed in [0, 2^31) that depends on every part and on nothing else."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(sha256(text).digest()[:4], "big") >> 1


def shuffled(rows: Sequence[T], seed: int) -> list[T]:
    """Return the rows in an order that the seed draws."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [rows[i] for i in order.tolist()]


def gaussian(like: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return a draw of N(0, I) laid out as the tensors: the same for every device and sharding."""
    rng = torch.Generator().manual_seed(seed)
    return {n: laid_out(torch.randn(t.shape, generator=rng), t) for n, t in like.items()}
