"""Which rows may become the one, and which rows tell them apart."""

from dataclasses import dataclass
from typing import Any

from holdfast.defense import Examples, Row
from holdfast.defenses.natural_repair.halves import LEAST, ordered
from holdfast.defenses.natural_repair.rows import ASKED, Rows
from holdfast.ops.randomness import shuffled


@dataclass(frozen=True)
class Pool:
    """The refusals of a repair, cut in two, and what measures it."""

    candidates: list[Row]
    """Rows of which one is learned."""
    judged: list[Row]
    """Refusals to other prompts, on which candidates are compared."""
    measured: Rows
    """What the model is asked along the way."""


def pool_of(repair: Any, refusals: Examples | None, seed: int) -> Pool:
    """Return the rows of a ``OneShot``, drawn by the seed and their content, not by their order.

    Of fewer than 8 refusals all are candidates and judge: half of less says nothing.

    Args:
        repair: The defense, for its data sets, ``candidates``, ``judged`` and ``rows``.
        refusals: Harmful prompts with refusals.
        seed: Seed of the draw.
    """
    every = ordered(refusals, repair.rows)
    drawn = shuffled(every, seed)
    few = len(drawn) < LEAST
    cut = min(repair.candidates, len(drawn) if few else len(drawn) // 2)
    judged = drawn[: repair.judged] if few else drawn[cut : cut + repair.judged]
    asked = ordered(repair.lookalike, repair.rows) or ordered(repair.benign, repair.rows)
    measured = Rows(
        refusals=judged,
        harmful=[],
        prompts=ordered(repair.harmful, min(repair.rows, ASKED)) or judged,
        kept=[],
        felt=[],
        measured=ordered(repair.validation, repair.rows),
        asked=asked,
    )
    return Pool(drawn[:cut], judged, measured)
