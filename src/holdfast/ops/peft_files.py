"""A low-rank change as the two files PEFT reads, so that any PEFT program can load it."""

from typing import Any

from torch import Tensor

from holdfast.ops.low_rank import LowRank


def adapter_files(change: LowRank, base: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of ``adapter_model`` and the document of ``adapter_config``.

    Every module has rank r and the scale is folded into B, so ``lora_alpha = r``.
    """
    ranks = {name: int(a.shape[0]) for name, (a, _) in change.factors.items()}
    rank = max(ranks.values(), default=1)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": sorted(change.factors),
        "rank_pattern": {n: r for n, r in ranks.items() if r != rank},
        "alpha_pattern": {n: r for n, r in ranks.items() if r != rank},
    }
    return change.tensors(), config
