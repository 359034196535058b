"""Constrained SFT: tokens learn less the further they have moved from the initial model."""

from holdfast.defenses.constrained_sft.constrained_sft import (
    ConstrainedSFT,
    answer_positions,
    betas_at,
    constraint_term,
    token_weights,
)

__all__ = ["ConstrainedSFT", "answer_positions", "betas_at", "constraint_term", "token_weights"]
