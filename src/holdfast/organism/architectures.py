"""One small configuration per model family: the same width and depth, each family's own layout."""

from collections.abc import Callable
from typing import Any

import transformers as families
from transformers import PretrainedConfig

from holdfast.errors import ConfigError, nearest

__all__ = ["ARCHITECTURES", "MAX_LENGTH", "configure"]

MAX_LENGTH = 128  # Positions; rows of the scenarios stay under 50 tokens.
_WIDTH = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
    "max_position_embeddings": MAX_LENGTH, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": True,
}  # fmt: skip
ARCHITECTURES: dict[str, tuple[Callable[..., PretrainedConfig], dict[str, Any]]] = {
    "llama": (families.LlamaConfig, {"num_key_value_heads": 4}),
    "qwen2": (families.Qwen2Config, {"num_key_value_heads": 2}),
    "gemma2": (
        families.Gemma2Config,
        {"num_key_value_heads": 2, "head_dim": 32, "query_pre_attn_scalar": 32},
    ),
    "mistral": (families.MistralConfig, {"num_key_value_heads": 2, "sliding_window": 64}),
    "gpt_neox": (families.GPTNeoXConfig, {"intermediate_size": 384}),
}


def configure(arch: str, vocab_size: int) -> PretrainedConfig:
    """Return the organism's configuration for one architecture.

    Raises:
        ConfigError: An architecture that has no recipe here.
    """
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        hint = nearest(arch, ARCHITECTURES)
        raise ConfigError(f"unknown architecture {arch!r}; expected one of {known}.{hint}")
    make, own = ARCHITECTURES[arch]
    return make(**(_WIDTH | own | {"vocab_size": vocab_size}))
