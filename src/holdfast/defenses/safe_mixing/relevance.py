"""Safe rows that resemble the user's, and not one another (after arXiv 2605.28030; form ours)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["relevant_rows"]

Floats = NDArray[np.float64]


def relevant_rows(
    user: Sequence[Sequence[int]],
    safe: Sequence[Sequence[int]],
    wanted: int,
    diversity: float,
) -> list[int]:
    r"""Return the indices of ``wanted`` safe rows, the most relevant first.

    Each next row is :math:`\arg\max_j\; (1-\delta)\cos(x_j, u) - \delta\max_{k}\cos(x_j, x_k)` over
    the rows k taken before, with bags of tokens x weighed by how few prompts have a token, and u
    the mean of the user's. Of equal rows the first is taken. Every row is taken once before any is
    taken again, in the same order.

    Args:
        user: Tokens of the user's prompts.
        safe: Tokens of the safe rows' prompts.
        wanted: How many; exact.
        diversity: δ in [0, 1].
    """
    if not wanted or not safe:
        return []
    bags = _bags([*user, *safe])
    own, rows = bags[: len(user)], bags[len(user) :]
    near = rows @ _unit(own.mean(0)[None])[0] if len(user) else np.zeros(len(rows))
    order: list[int] = []
    nearest = np.zeros(len(rows))
    open_ = np.ones(len(rows), dtype=bool)
    for _ in range(min(wanted, len(rows))):
        gain = np.where(open_, (1 - diversity) * near - diversity * nearest, -np.inf)
        order.append(int(gain.argmax()))
        open_[order[-1]] = False
        nearest = np.maximum(nearest, rows @ rows[order[-1]])
    return [order[n % len(order)] for n in range(wanted)]


def _bags(prompts: Sequence[Sequence[int]]) -> Floats:
    """Return each prompt as a bag of tokens of length 1, rare tokens weighing more."""
    columns = {token: n for n, token in enumerate(sorted({t for p in prompts for t in p}))}
    counts = np.zeros((len(prompts), len(columns)))
    for bag, prompt in zip(counts, prompts, strict=True):
        for token in prompt:
            bag[columns[token]] += 1
    held = (counts > 0).sum(0)
    return _unit(counts * np.log((1 + len(prompts)) / (1 + held)))


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
