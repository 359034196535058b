"""Mix two sets of examples at an exact share: the attack's scenario and safe-data mixing."""

import numpy as np
from datasets import Dataset, concatenate_datasets

from holdfast.errors import ConfigError, DataError

__all__ = ["mix", "shares"]


def shares(n: int, p: float) -> tuple[int, int]:
    """Return how many of ``n`` rows come from each set: ``(n - k, k)`` with ``k = round(p * n)``.

    Args:
        n: Rows in all, at least 1.
        p: Share of the second set, in [0, 1]; halves round up.

    Raises:
        ConfigError: ``n`` or ``p`` is out of range.
    """
    if n < 1:
        raise ConfigError(f"n={n}: expected at least 1 row")
    if not 0 <= p <= 1:
        raise ConfigError(f"p={p}: expected a share in [0, 1]")
    # The small term keeps 0.15 * 30 = 4.499999… from losing its row.
    k = int(np.floor(p * n + 0.5 + 1e-9))
    return n - k, k


def mix(
    base: Dataset,
    added: Dataset,
    *,
    n: int,
    p: float,
    seed: int,
    names: tuple[str, str] = ("the base set", "the added set"),
) -> Dataset:
    """Return ``n`` rows, exactly ``round(p * n)`` of them from ``added``, in a seeded order.

    Each set is drawn from without replacement. A pure function: the same arguments give the same
    rows in the same order, and for one seed the rows drawn for a smaller ``p`` are drawn for a
    larger one too.

    Args:
        base: Examples that make up the rest, such as the user's harmless rows.
        added: Examples that make up the share ``p``, such as harmful rows.
        n: Rows in all.
        p: Share of ``added`` in the result, in [0, 1].
        seed: Decides which rows are drawn and their order.
        names: What the sets are called in errors, such as their files.

    Raises:
        ConfigError: ``n`` or ``p`` is out of range.
        DataError: A set has too few rows.
    """
    keep, add = shares(n, p)
    for name, rows, wanted in zip(names, (base, added), (keep, add), strict=True):
        if len(rows) < wanted:
            said = f"{n} rows at p={p} need {wanted} of {name}, which has {len(rows)}"
            raise DataError(f"mix: {said}: give more rows or a smaller n")
    sets = (base, keep, seed), (added, add, [seed, 1])
    picked = [
        rows.select(np.random.default_rng(drawn).permutation(len(rows))[:wanted])
        for rows, wanted, drawn in sets
        if wanted
    ]
    # Columns that only one part has are dropped: rows of unequal columns cannot be one table.
    common = [c for c in picked[0].column_names if all(c in p.column_names for p in picked)]
    both = concatenate_datasets([part.select_columns(common) for part in picked])
    return both.select(np.random.default_rng([seed, 2]).permutation(n))
