"""A zoo of tiny random models: one of each model type that holdfast says something about.

Two layers, hidden size 32, the tokenizer of ``tests/tiny.py``, float32; transformers' own classes.
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.tiny import HIDDEN, LAYERS, POSITIONS, SPECIAL, WORDS

__all__ = ["DENSE", "FULL", "MOE", "STRANGE", "ZOO", "zoo_model"]

_WIDE = 2 * HIDDEN
_PLAIN: dict[str, Any] = {
    "hidden_size": HIDDEN, "intermediate_size": _WIDE, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "max_position_embeddings": POSITIONS,
}  # fmt: skip
_GROUPED = {**_PLAIN, "num_key_value_heads": 2, "head_dim": HIDDEN // 4}
_OWN_HEADS = {**_PLAIN, "num_key_value_heads": 2}
_GPT2 = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": HIDDEN}
_LINEAR_ATTENTION = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip
_LATENT = {
    **_PLAIN, "num_key_value_heads": 4, "n_group": 1, "topk_group": 1, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": HIDDEN,
    "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 12, "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "routed_scaling_factor": 1.0,
}  # fmt: skip
_VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "image_size": 8, "patch_size": 4,
}  # fmt: skip
_OPT = {
    "hidden_size": HIDDEN, "ffn_dim": _WIDE, "word_embed_proj_dim": HIDDEN,
    "num_hidden_layers": LAYERS, "num_attention_heads": 4, "max_position_embeddings": POSITIONS,
}  # fmt: skip
_VOCABULARY = {
    "vocab_size": len(SPECIAL) + len(WORDS), "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
_GEMMA_TEXT = {**_GROUPED, **_VOCABULARY, "query_pre_attn_scalar": 8, "sliding_window": 64}

DENSE: dict[str, dict[str, Any]] = {
    "llama": _GROUPED,
    "mistral": _GROUPED,
    "ministral": _GROUPED,
    "ministral3": _GROUPED,
    "qwen2": _OWN_HEADS,
    "qwen3": _GROUPED,
    "qwen3_5_text": {**_GROUPED, **_LINEAR_ATTENTION},
    "gemma": _GROUPED,
    "gemma2": {**_GROUPED, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_GROUPED, "query_pre_attn_scalar": 8},
    "gemma3": {"text_config": _GEMMA_TEXT, "vision_config": _VISION, "mm_tokens_per_image": 4},
    "phi": {**_PLAIN, "partial_rotary_factor": 0.5},
    "phi3": _OWN_HEADS,
    "stablelm": _OWN_HEADS,
    "granite": _OWN_HEADS,
    "olmo": _OWN_HEADS,
    "olmo2": _OWN_HEADS,
    "olmo3": _OWN_HEADS,
    "cohere": _OWN_HEADS,
    "cohere2": _GROUPED,
    "smollm3": _OWN_HEADS,
    "starcoder2": _OWN_HEADS,
    "glm": _GROUPED,
    "glm4": _GROUPED,
    "falcon": {**_PLAIN, "new_decoder_architecture": True, "num_kv_heads": 2},
    "bloom": {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": 4},
    "gpt2": _GPT2,
    "gpt_neo": {
        "hidden_size": HIDDEN, "num_layers": LAYERS, "num_heads": 4, "intermediate_size": _WIDE,
        "max_position_embeddings": POSITIONS, "attention_types": [[["global", "local"], 1]],
    },
    "gpt_neox": _PLAIN,
    "gptj": {**_GPT2, "rotary_dim": 4},
    "gpt_bigcode": _GPT2,
    "opt": _OPT,
    "mpt": {"d_model": HIDDEN, "n_layers": LAYERS, "n_heads": 4, "max_seq_len": POSITIONS},
    "nemotron": _OWN_HEADS,
    "persimmon": _PLAIN,
    "exaone4": _OWN_HEADS,
    "seed_oss": _GROUPED,
    "arcee": _GROUPED,
    "helium": _GROUPED,
}  # fmt: skip
MOE: dict[str, dict[str, Any]] = {
    "mixtral": {**_OWN_HEADS, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **_OWN_HEADS, **_EXPERTS, "shared_expert_intermediate_size": HIDDEN,
    },
    "qwen3_moe": {**_GROUPED, **_EXPERTS},
    "deepseek_v2": {**_LATENT, "topk_method": "greedy"},
    "deepseek_v3": _LATENT,
    "gpt_oss": {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "granitemoe": {**_OWN_HEADS, "num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {**_OWN_HEADS, "num_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip
STRANGE: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "state_size": 4},
    "rwkv": {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "context_length": POSITIONS},
}
ZOO = {**DENSE, **MOE, **STRANGE}
"""Model type → what its configuration has beside the vocabulary."""
FULL = (
    "llama", "mistral", "ministral", "qwen2", "qwen3", "qwen3_5_text", "gemma2", "gemma3_text",
    "gemma3", "phi", "phi3", "stablelm", "granite", "olmo2", "olmo3", "cohere", "cohere2",
    "smollm3", "starcoder2", "glm4", "falcon", "bloom", "gpt2", "gpt_neox", "opt",
)  # fmt: skip
"""Types that must have the whole tool set."""


def zoo_model(kind: str, seed: int = 0, **more: Any) -> PreTrainedModel:
    """A random float32 model of the type, the same for the same seed; ``more`` goes to its config.

    Dropout is off, and biases and norms are random too: zeros and ones would hide what they do.
    """
    sizes = {**ZOO[kind], **more}
    top = {} if "text_config" in sizes else _VOCABULARY
    config = AutoConfig.for_model(kind, **top, **sizes)
    for name in [n for n in vars(config) if n.endswith(("dropout", "pdrop", "dropout_prob"))]:
        setattr(config, name, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for p in model.parameters():
                if p.dim() == 1:
                    p.add_(torch.randn_like(p) * 0.1)
    model.generation_config.pad_token_id = 0
    return model
