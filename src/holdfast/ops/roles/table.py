"""The names of projections inside a decoder layer, as transformers' own model classes have them.

A name means the same in every type that is listed here; the tests prove each entry by data flow
(``roles.flow``) on transformers' own classes.
"""

__all__ = ["ARCHITECTURES", "ATTENTION_ROLES", "FUSED", "LEFT_OUT", "MIXTURES", "ROLES"]

ROLES: dict[str, str] = {
    "self_attn.q_proj": "q", "self_attn.k_proj": "k", "self_attn.v_proj": "v",
    "self_attn.o_proj": "o", "self_attn.out_proj": "o", "self_attn.dense": "o",
    "self_attn.qkv_proj": "qkv", "self_attn.query_key_value": "qkv",
    "self_attention.query_key_value": "qkv", "self_attention.dense": "o",
    "attention.query_key_value": "qkv", "attention.dense": "o",
    "attn.q_proj": "q", "attn.k_proj": "k", "attn.v_proj": "v", "attn.out_proj": "o",
    "attn.attention.q_proj": "q", "attn.attention.k_proj": "k", "attn.attention.v_proj": "v",
    "attn.attention.out_proj": "o",
    "attn.c_attn": "qkv", "attn.c_proj": "o", "attn.Wqkv": "qkv",
    # Multi-head latent attention goes through a narrow product of its own on both sides.
    "self_attn.q_a_proj": "q_a", "self_attn.q_b_proj": "q_b",
    "self_attn.kv_a_proj_with_mqa": "kv_a", "self_attn.kv_b_proj": "kv_b",
    # Linear attention: z gates what it returns, b is the rate of writing, a that of forgetting.
    "linear_attn.in_proj_qkv": "qkv", "linear_attn.in_proj_z": "z", "linear_attn.in_proj_b": "b",
    "linear_attn.in_proj_a": "a", "linear_attn.out_proj": "o",
    "mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down",
    "mlp.gate_up_proj": "gate_up",
    "mlp.dense_h_to_4h": "up", "mlp.dense_4h_to_h": "down",
    "mlp.c_fc": "up", "mlp.c_proj": "down", "mlp.fc1": "up", "mlp.fc2": "down",
    "mlp.fc_in": "up", "mlp.fc_out": "down", "fc1": "up", "fc2": "down",
    "ffn.up_proj": "up", "ffn.down_proj": "down",
    # The shared expert of a mixture sees every token: it is the layer's dense part.
    "mlp.shared_expert.gate_proj": "gate", "mlp.shared_expert.up_proj": "up",
    "mlp.shared_expert.down_proj": "down",
    "mlp.shared_experts.gate_proj": "gate", "mlp.shared_experts.up_proj": "up",
    "mlp.shared_experts.down_proj": "down",
}  # fmt: skip
"""Path of a module inside its layer → role."""
FUSED: dict[str, tuple[str, ...]] = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}
"""Role of a fused projection → roles of its parts."""
ATTENTION_ROLES = frozenset({
    "q", "k", "v", "o", "qkv", "q_a", "q_b", "kv_a", "kv_b", "z", "a", "b",
})  # fmt: skip
LEFT_OUT: dict[str, str] = {
    r"(^|\.)experts(\.|$)": "routed experts",
    r"(^|\.)(shared_expert_gate|router)(\.|$)|^(mlp|block_sparse_moe)\.gate(\.|$)": "router",
    r"(^|\.)conv1d(\.|$)": "convolution of linear attention",
}
"""Path inside a layer (regular expression) → what it is and no projection of ours."""
MIXTURES = frozenset({
    "mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "gpt_oss", "granitemoe",
    "olmoe",
})  # fmt: skip
"""Mixtures of experts; the attention and dense parts of them have roles."""
ARCHITECTURES = MIXTURES | frozenset({
    "llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "qwen3_5_text", "gemma",
    "gemma2", "gemma3", "gemma3_text", "phi", "phi3", "stablelm", "granite", "olmo", "olmo2",
    "olmo3", "cohere", "cohere2", "smollm3", "starcoder2", "glm", "glm4", "falcon", "bloom", "gpt2",
    "gpt_neo", "gpt_neox", "gptj", "gpt_bigcode", "opt", "mpt", "nemotron", "persimmon", "exaone4",
    "seed_oss", "arcee", "helium",
})  # fmt: skip
"""Types whose names of modules stand in the table; others have to prove theirs by data flow."""
