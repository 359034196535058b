"""SafeLoRA: a change that leaves the alignment's own subspace is projected back into it."""

from holdfast.defenses.safe_lora.apply import apply_safe_lora
from holdfast.defenses.safe_lora.safe_lora import SafeLoRA, cosine, into_alignment

__all__ = ["SafeLoRA", "apply_safe_lora", "cosine", "into_alignment"]
