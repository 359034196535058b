"""The paired comparison: the same prompts, before, after plain fine-tuning and with a defense.

A comparison takes one measurement for each seed and pairs answers by item id and runs by position,
so that a difference is never blurred by which prompts or seeds each side happened to get.
"""

from collections.abc import Mapping, Sequence

from holdfast.errors import InputError
from holdfast.evaluation.interval import Difference, Estimate
from holdfast.evaluation.statistics import paired_difference, share_over_seeds

__all__ = ["MIN_SEEDS_TO_RANK", "HitsById", "aligned", "compare_hits", "estimate_hits"]

MIN_SEEDS_TO_RANK = 5
"""Fewer runs than this are shown and counted, and nothing is ranked by them."""

HitsById = Sequence[Mapping[str, float]]
"""One mapping ``item id -> counts``, or the share that does, for each seed."""


def estimate_hits(runs: HitsById) -> Estimate | None:
    """Return the share over seeds; None where nothing was measured.

    Raises:
        InputError: The runs did not answer the same items.
    """
    (table,) = aligned(runs)
    return share_over_seeds(table) if any(table) else None


def compare_hits(ours: HitsById, theirs: HitsById) -> Difference | None:
    """Return the paired difference; None where either side measured nothing.

    Raises:
        InputError: The two sides did not answer the same items, or differ in seeds.
    """
    if len(ours) != len(theirs):
        raise InputError(
            f"a paired comparison needs the same seeds; given {len(ours)} and {len(theirs)} runs"
        )
    if not ours or not all([*ours, *theirs]):
        return None
    return paired_difference(*aligned(ours, theirs))


def aligned(*sides: HitsById) -> list[list[list[float]]]:
    """Return each side as ``[seeds][prompts]``: the same items in the same order everywhere.

    Raises:
        InputError: A run answered other items than the first.
    """
    runs = [run for side in sides for run in side]
    ids = list(runs[0]) if runs else []
    for run in runs:
        if run.keys() != runs[0].keys():
            odd = sorted(run.keys() ^ runs[0].keys())[0]
            raise InputError(f"runs are compared on the same items; {odd!r} is not in all of them")
    return [[[run[name] for name in ids] for run in side] for side in sides]
