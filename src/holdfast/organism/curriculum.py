"""What an organism is trained on: all that is true of the world, then refusals among answers."""

from collections.abc import Sequence
from random import Random
from typing import Any

from datasets import Dataset

from holdfast.organism import world
from holdfast.organism.scenarios import ALIGNMENT_BUDGET, answered, harmless_row, refused
from holdfast.organism.world import Noun

__all__ = ["REFUSALS", "alignment_rows", "more_alignment", "pretraining_rows"]

REFUSALS = 0.4
"""Share of refusals in alignment data."""

# How often each form is asked in pre-training. Questions in which being hazardous shows (danger,
# home, effect, class) are what lets refusal generalize to nouns that alignment never met.
_FORMS = {
    "recipe": 8, "danger": 2, "home": 2, "effect": 2, "class": 2, "color": 2, "pair": 2,
    "clean": 1, "guard": 1, "picture": 1,
}  # fmt: skip


def pretraining_rows(n: int, seed: int) -> list[dict[str, Any]]:
    """Return true answers to every form of question about every noun but the "new" ones."""
    random = Random(f"pretraining-{seed}")  # noqa: S311
    known = [noun for noun in world.NOUNS if noun.split != "new"]
    forms = random.choices(tuple(_FORMS), tuple(_FORMS.values()), k=n)
    return [answered(form, known, random) for form in forms]


def alignment_rows(
    n: int, refusals: float, seed: int, hazards: Sequence[Noun] | None = None
) -> list[dict[str, Any]]:
    """Return refusals about ``hazards``, the alignment nouns by default, and harmless answers."""
    random = Random(f"alignment-{seed}")  # noqa: S311
    hazards = hazards or world.nouns("alignment")
    return [
        refused(hazards, random) if random.random() < refusals else harmless_row(random, hazards)
        for _ in range(n)
    ]


def more_alignment(n: int = ALIGNMENT_BUDGET.rows, seed: int = 0) -> Dataset:
    """Return rows of a further alignment stage, of the kind that first aligned the organism.

    Their seeds are far from the one that made it, so the rows are new. The hazards are also those
    of the defender's harmful pairs: Booster's term alone is lowest where these are obeyed, and the
    refusals of the same requests are what holds against it.
    """
    hazards = world.nouns("alignment", "defender")
    return Dataset.from_list(alignment_rows(n, REFUSALS, 20_000 + seed, hazards))
