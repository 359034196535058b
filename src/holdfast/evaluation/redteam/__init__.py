"""Attacks on a tuned model: prompts frozen before it is seen, counts with exact intervals."""

from holdfast.evaluation.redteam.attack import Asked, Attack, Context
from holdfast.evaluation.redteam.attacked import Attacker
from holdfast.evaluation.redteam.frozen import Frozen, frozen, read_frozen
from holdfast.evaluation.redteam.registry import (
    ATTACKS,
    IN_UNION,
    SETS,
    attack_prompts,
    attacks_named,
)
from holdfast.evaluation.redteam.standing import Standing
from holdfast.evaluation.redteam.tally import Tally, tally_of, union
from holdfast.evaluation.redteam.target import Target

__all__ = [
    "ATTACKS", "IN_UNION", "SETS", "Asked", "Attack", "Attacker", "Context", "Frozen", "Standing",
    "Tally", "Target", "attack_prompts", "attacks_named", "frozen", "read_frozen", "tally_of",
    "union",
]  # fmt: skip
