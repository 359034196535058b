"""A LoRA adapter as the two files PEFT reads, so that any PEFT program can load it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from holdfast.errors import ConfigError

__all__ = ["adapter_files", "read_adapter"]

PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def adapter_files(
    factors: Mapping[str, Tensor], base: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of ``adapter_model`` and the document of ``adapter_config``.

    ``factors`` are A and B of every module, by PEFT's names, of the model ``base``. Every module
    has rank r and the scale is folded into B, so ``lora_alpha = r``.
    """
    ranks = {_module(name): int(a.shape[0]) for name, a in factors.items() if name.endswith(A)}
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
        "target_modules": sorted(ranks),
        "rank_pattern": {n: r for n, r in ranks.items() if r != rank},
        "alpha_pattern": {n: r for n, r in ranks.items() if r != rank},
    }
    return dict(factors), config


def read_adapter(folder: str | Path) -> dict[str, Tensor]:
    """Return the factors that holdfast or any PEFT program saved, the scale folded into B.

    Raises:
        ConfigError: There is no such adapter, or it is more than a plain LoRA of linear layers.
    """
    weights = Path(folder) / "adapter_model.safetensors"
    options = Path(folder) / "adapter_config.json"
    for file in (weights, options):
        if not file.is_file():
            raise ConfigError(f"no LoRA adapter in {folder}: {file.name} is missing")
    try:
        tensors, config = load_file(weights), json.loads(options.read_text())
    except Exception as error:
        raise ConfigError(f"{folder}: the adapter's files cannot be read ({error})") from error
    strange = [k for k in tensors if not re.search(r"\.lora_[AB]\.weight$", k)]
    if config.get("peft_type") != "LORA" or strange or not tensors:
        raise ConfigError(
            f"{folder}: holds more or less than LoRA factors A and B ({strange[:1] or 'none'}); "
            "give a plain LoRA adapter (no DoRA, no bias, no modules_to_save)"
        )
    _check_pairs(tensors, folder)
    return {
        name: factor * _scale(_module(name), config) if name.endswith(B) else factor
        for name, factor in tensors.items()
    }


def _check_pairs(tensors: Mapping[str, Tensor], folder: str | Path) -> None:
    """Raise ``ConfigError`` where a module has one factor, or two that cannot be multiplied."""
    for module in sorted({name.removesuffix(A).removesuffix(B) for name in tensors}):
        a, b = tensors.get(module + A), tensors.get(module + B)
        if a is None or b is None:
            lacking = A if a is None else B
            raise ConfigError(
                f"{folder}: holds half an adapter: {module} has no {lacking[1:]}; save it again"
            )
        if a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
            raise ConfigError(
                f"{folder}: the factors of {module} have the shapes {tuple(a.shape)} and "
                f"{tuple(b.shape)}, which are no A and B of one rank; save it again"
            )


def _module(name: str) -> str:
    """Return the name of the module that a factor belongs to."""
    return name.removeprefix(PREFIX).removesuffix(A).removesuffix(B)


def _scale(module: str, config: Mapping[str, Any]) -> float:
    """Return PEFT's scale of one module: alpha / r, or alpha / √r with ``use_rslora``."""
    rank = _pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))


def _pattern(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    """Return the value of the first pattern that matches the module's name, as PEFT reads them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
