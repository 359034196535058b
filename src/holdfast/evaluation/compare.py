"""The paired comparison: the same prompts, before, after plain fine-tuning and with a defense.

A comparison takes one measurement for each seed and pairs answers by item id and runs by position,
so that a difference is never blurred by which prompts or seeds each side happened to get.
"""

from collections.abc import Mapping, Sequence

from holdfast.errors import InputError
from holdfast.evaluation.statistics import (
    Difference,
    Estimate,
    paired_difference,
    share_over_seeds,
)

__all__ = ["MIN_SEEDS_TO_RANK", "HitsById", "align", "compare_hits", "estimate_hits"]

MIN_SEEDS_TO_RANK = 5
"""Fewer runs than this are shown and counted, and nothing is ranked by them."""

HitsById = Sequence[Mapping[str, bool]]
"""One mapping ``item id -> counts`` for each seed."""


def estimate_hits(runs: HitsById) -> Estimate | None:
    """Return the share over seeds of hits keyed by item id; None where nothing was measured."""
    ids = align(runs)
    return share_over_seeds(_rows(runs, ids)) if ids else None


def compare_hits(ours: HitsById, theirs: HitsById) -> Difference | None:
    """Return the paired difference of hits keyed by item id; None where nothing was measured.

    Raises:
        InputError: The two sides did not answer the same items, or differ in seeds.
    """
    if len(ours) != len(theirs):
        raise InputError(
            f"a paired comparison needs the same seeds; given {len(ours)} and {len(theirs)} runs"
        )
    ids = align([*ours, *theirs])
    return paired_difference(_rows(ours, ids), _rows(theirs, ids)) if ids else None


def align(runs: HitsById) -> list[str]:
    """Return the item ids all runs share, in order.

    Raises:
        InputError: A run answered other items than the first.
    """
    if not runs:
        return []
    first = runs[0].keys()
    for run in runs[1:]:
        if run.keys() != first:
            odd = sorted(run.keys() ^ first)[0]
            raise InputError(f"runs are compared on the same items; {odd!r} is not in all of them")
    return list(first)


def _rows(runs: HitsById, ids: Sequence[str]) -> list[list[bool]]:
    """Return hits as ``[seeds][prompts]`` in the order of ``ids``."""
    return [[run[name] for name in ids] for run in runs]
