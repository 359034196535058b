"""What the runs of commands and of benches give alike to TRL and to PEFT."""

from typing import Any

import torch
from peft import LoraConfig

__all__ = ["cpu_options", "lora"]


def cpu_options() -> dict[str, Any]:
    """Return what SFTConfig needs where there is no GPU, and nothing where there is one."""
    return {} if torch.cuda.is_available() else {"bf16": False, "dataloader_pin_memory": False}


def lora(rank: int, alpha: float, dropout: float = 0.0, targets: str = "all-linear") -> LoraConfig:
    """Return the adapter of a causal language model: its change is alpha / rank times B A.

    ``dropout``, in [0, 1), is in front of it; ``targets`` is ``all-linear``, or the names of the
    modules that get one, with commas.
    """
    names = [name.strip() for name in targets.split(",")]
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT multiplies by it only.
        lora_dropout=dropout,
        target_modules="all-linear" if names == ["all-linear"] else names,
        task_type="CAUSAL_LM",
    )
