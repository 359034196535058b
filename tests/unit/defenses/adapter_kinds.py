"""Models whose adapter is of each kind, with a change that is not 0; used by several tests."""

import warnings

import torch
from peft import IA3Config, LoraConfig, get_peft_model

from tests.tiny import tiny_model

SPARE = {"target_modules": ["q_proj", "v_proj", "down_proj"], "lora_alpha": 6}
LORA_KINDS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"v_proj": 3}, "alpha_pattern": {"down_proj": 20}},
    "orthogonal": {"init_lora_weights": "orthogonal"},
}
"""Plain LoRA, whatever its scale and its first factors."""
OTHER_KINDS = {
    "lora_bias": {"lora_bias": True},
    "dora": {"use_dora": True},
    "dora-frozen-magnitude": {"use_dora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "head": {"modules_to_save": ["lm_head"]},
    "norms": {"modules_to_save": ["norm"]},
    "embedding": {"target_modules": ["q_proj", "v_proj", "embed_tokens"]},
    "tokens": {"trainable_token_indices": [7, 8]},
    "base-biases": {"bias": "all"},
    "parameters": {"target_modules": ["v_proj"], "target_parameters": ["q_proj.weight"]},
    "mica": {"init_lora_weights": "mica"},
}
"""Each is more than s·BA on linear layers, in a way of its own."""
KINDS = {**LORA_KINDS, **OTHER_KINDS}


def adapted(kind, arch="qwen2", scale=0.05):
    """The tiny model with a tuned adapter of this kind: every tensor of it was moved."""
    model = tiny_model(arch)
    if kind == "ia3":
        options = IA3Config(
            task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[]
        )
    else:
        options = LoraConfig(r=2, task_type="CAUSAL_LM", **{**SPARE, **KINDS[kind]})
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT says that it cannot merge every kind.
        torch.manual_seed(0)
        model = get_peft_model(model, options)
        with torch.no_grad():
            for p in model.parameters():
                if p.requires_grad:
                    p.add_(scale * torch.randn(p.shape))
    if kind == "dora-frozen-magnitude":
        for name, p in model.named_parameters():
            p.requires_grad_(p.requires_grad and "magnitude" not in name)
    return model
