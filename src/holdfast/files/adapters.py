"""A LoRA adapter as the two files PEFT reads, so that any PEFT program can load it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from holdfast.errors import ConfigError, ModelError
from holdfast.files.guarded.adapters import adapter_config, check_patterns, scale_of

__all__ = ["KEPT_BASE", "adapter_files", "read_adapter"]

PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"

KEPT_BASE = frozenset({"gaussian", "eva", "orthogonal"})
"""Values of ``init_lora_weights`` that draw factors and leave the base weights as they are."""
_PLAIN: dict[str, Any] = {
    "use_dora": False, "lora_bias": False, "bias": "none", "fan_in_fan_out": False,
}  # fmt: skip
"""Options of an adapter's file that leave it at BA on linear layers, with that value."""


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

    They are float32: a scale that is no power of two would round in bfloat16.

    Raises:
        ConfigError: There is no such adapter, or it is more than a plain LoRA of linear layers.
    """
    path, shown = Path(folder), f"the LoRA adapter in {folder}"
    try:
        config = adapter_config(path, shown)
        tensors = load_file(path / "adapter_model.safetensors")
        check_patterns(config, shown, {_module(name) for name in tensors})
    except (ModelError, OSError, SafetensorError) as error:
        raise ConfigError(str(error)) from error
    strange = [k for k in tensors if not k.endswith((A, B))]
    if strange or not tensors:
        raise ConfigError(
            f"{folder}: holds more or less than LoRA factors A and B ({strange[:1] or 'none'}); "
            "give a plain LoRA adapter (no DoRA, no bias, no modules_to_save)"
        )
    _check_pairs(tensors, folder)
    _check_plain(config, folder)
    if broken := next((n for n, t in tensors.items() if not bool(t.isfinite().all())), None):
        raise ConfigError(
            f"{folder}: {broken} holds entries that are no numbers (NaN or infinite): its training "
            "diverged; train it again"
        )
    return {
        name: factor.float() * (scale_of(config, _module(name)) if name.endswith(B) else 1.0)
        for name, factor in tensors.items()
    }


def _check_plain(config: Mapping[str, Any], folder: str | Path) -> None:
    """Raise ``ConfigError`` where the change is not BA on the base, whatever tensors there are."""
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in KEPT_BASE:
        raise ConfigError(
            f"{folder}: init_lora_weights={start!r} changed the base weights before training, so "
            "BA is not what the adapter changes; convert it to plain LoRA (PEFT's save_pretrained "
            "with path_initial_model_for_weight_conversion) and give that"
        )
    for name, plain in _PLAIN.items():
        if config.get(name, plain) not in (plain, None):
            raise ConfigError(
                f"{folder}: {name}={config[name]!r} makes the adapter more than BA on linear "
                "layers; give a plain LoRA adapter"
            )


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
