"""Tables of hits over several settings, and resamples that draw seeds and prompts for all together.

A table is ``[settings][seeds][prompts]``: the same seeds and prompts in the same order under every
setting. HS (harmful score, lower is better) and FA (fine-tuning accuracy, higher is better) are
asked on prompts of their own. All shares are in [0, 1].
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError
from holdfast.evaluation.statistics import Hits

__all__ = [
    "SettingHits", "Shares", "Side", "as_table", "bootstrap_weights", "both_tables", "resample",
    "setting_means",
]  # fmt: skip

SettingHits: TypeAlias = Sequence[Hits]
"""Whether an answer counts, ``[settings][seeds][prompts]``."""
Shares: TypeAlias = NDArray[np.float64]
Side: TypeAlias = tuple[Shares, Shares]
"""FA and HS of one defense."""

RESAMPLES = 2000


def as_table(hits: SettingHits, name: str) -> Shares:
    """Return ``hits`` as ``[settings, seeds, prompts]`` of 0.0 and 1.0.

    Raises:
        InputError: It is empty, or its settings differ in seeds or prompts; ``name`` names it.
    """
    shapes = {(len(setting), len(row)) for setting in hits for row in setting}
    if len(shapes) != 1 or 0 in next(iter(shapes)) or not all(len(s) for s in hits):
        raise InputError(
            f"{name} needs the same seeds and prompts, at least one of each, under every setting; "
            f"given (seeds, prompts) {sorted(shapes) or 'none'}"
        )
    return np.asarray(hits, dtype=np.float64)


def both_tables(fa: SettingHits, hs: SettingHits) -> tuple[Shares, Shares]:
    """Return both as arrays, checked to describe the same settings and seeds.

    Raises:
        InputError: They do not.
    """
    left, right = as_table(fa, "FA"), as_table(hs, "HS")
    if left.shape[:2] != right.shape[:2]:
        raise InputError(
            f"FA and HS need the same settings and seeds; given (settings, seeds) "
            f"{left.shape[:2]} and {right.shape[:2]}"
        )
    return left, right


def setting_means(table: Shares) -> Shares:
    """Return the share of each setting of ``table`` [settings, seeds, prompts]."""
    return table.mean(axis=(1, 2)).round(9)


def resample(sides: Sequence[Side], seed: int, axes: str = "both") -> list[Side]:
    """Return ``(fa, hs)`` of each side as ``[resamples, settings]``, one draw for all sides.

    ``axes`` names what is drawn: "both", or "seeds" or "prompts" with the other as it is.
    """
    generator = np.random.default_rng(seed)
    _, runs, of_fa = sides[0][0].shape
    sizes = runs, of_fa, sides[0][1].shape[2]
    seeds, first, second = (bootstrap_weights(size, RESAMPLES, generator) for size in sizes)
    if axes == "prompts":
        seeds = np.full_like(seeds, 1 / sizes[0])
    if axes == "seeds":
        first, second = np.full_like(first, 1 / sizes[1]), np.full_like(second, 1 / sizes[2])
    # Rounding must not break ties: shares that are equal as fractions stay equal.
    return [
        (_draw(seeds, fa, first).round(9), _draw(seeds, hs, second).round(9)) for fa, hs in sides
    ]


def _draw(seeds: Shares, table: Shares, prompts: Shares) -> Shares:
    """Return means ``[resamples, settings]`` of ``table`` [settings, seeds, prompts] by weight."""
    return np.stack([((seeds @ setting) * prompts).sum(axis=1) for setting in table], axis=1)


def bootstrap_weights(size: int, resamples: int, generator: np.random.Generator) -> Shares:
    """Return ``[resamples, size]`` weights of rows drawn with replacement; each row sums to 1.

    How often an entry is drawn stands for the draw, so a resampled mean is one product.
    """
    return generator.multinomial(size, np.full(size, 1 / size), resamples) / size
