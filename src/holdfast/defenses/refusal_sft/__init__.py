"""Tuning on refusals after training: the control that a repair must beat."""

from holdfast.defenses.refusal_sft.refusal_sft import RefusalSFT

__all__ = ["RefusalSFT"]
