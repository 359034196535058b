"""SafeLoRA: a change that leaves the alignment's own subspace is projected back into it."""

from holdfast.defenses.safe_lora.safe_lora import SafeLoRA, cosine, into_alignment

__all__ = ["SafeLoRA", "cosine", "into_alignment"]
