"""An adapter's config from a stranger: a plain LoRA's, with values that PEFT can compute with.

PEFT goes where a config leads it: to other models, to other packages, into a pattern that never
ends. So a config is read here first, by whatever reads an adapter.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from holdfast.errors import ModelError, nearest
from holdfast.files.guarded.documents import json_in
from holdfast.files.guarded.limits import TooLongError, time_limit

__all__ = ["WEIGHTS", "adapter_config", "base_of", "check_patterns", "scale_of"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_RANK = 2**16
FOREIGN = ("megatron_config", "loftq_config", "eva_config", "corda_config", "layer_replication",
           "arrow_config")  # fmt: skip
"""What makes PEFT import other packages, or build what the adapter's tensors do not hold."""
MOST_PATTERN = 20_000
"""Longest pattern, in characters."""
LONGEST_NAME = "model.layers.0.self_attn.q_proj" + ".a" * 20
"""What a pattern is tried on where no model is at hand."""


def adapter_config(folder: Path, shown: str) -> dict[str, Any]:
    """Return the config of a LoRA adapter, each value of its type and in its range.

    Raises:
        ModelError: The folder has no such config, or no safetensors beside it; names what is wrong.
    """
    for name, why in ((CONFIG, "give a folder saved by PEFT"), (WEIGHTS, "pickles are refused")):
        if not (folder / name).is_file():
            raise ModelError(f"{shown}: has no {name}: {why}")
    try:
        config = json_in(folder / CONFIG)
    except (OSError, ValueError) as error:
        raise ModelError(f"{shown}: {CONFIG} cannot be read ({error}): save it again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{shown}: {CONFIG} is not a JSON object: save the adapter again")
    kind = config.get("peft_type")
    if kind != "LORA":
        near = nearest(str(kind), ["LORA"])
        raise ModelError(
            f"{shown}: its {CONFIG} has peft_type={kind!r} and only LORA adapters are read."
            f"{near} Merge it into its base, and give that as the model"
        )
    for key, wrong in _faults(config):
        raise ModelError(f"{shown}: its {CONFIG} has {key}={repr(config[key])[:80]}: {wrong}")
    _check_ranks(config, folder / WEIGHTS, shown)
    return config


def _check_ranks(config: Mapping[str, Any], file: Path, shown: str) -> None:
    """Refuse a rank that no tensor has: PEFT would make room for it in every module."""
    try:
        with safe_open(file, framework="pt") as opened:
            shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{shown}: {WEIGHTS} cannot be read ({error}): save it again") from error
    widest = max((size for shape in shapes for size in shape), default=0)
    ranks = [config.get("r", 8), *(config.get("rank_pattern") or {}).values()]
    if shapes and max(ranks) > widest:
        raise ModelError(
            f"{shown}: its {CONFIG} has a rank of {max(ranks)} and no tensor in {WEIGHTS} has more "
            f"than {widest} rows or columns: the files do not belong together"
        )


def _faults(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield each key with a wrong value, and what is expected."""
    for key, (is_right, expected) in CHECKS.items():
        if key in config and not is_right(config[key]):
            yield key, f"expected {expected}"
    for key in FOREIGN:
        if config.get(key):
            yield key, "only plain LoRA adapters are read; merge it into its base"


def scale_of(config: Mapping[str, Any], module: str) -> float:
    """Return PEFT's scale of one module: alpha / r, or alpha / √r with ``use_rslora``."""
    rank = _of(config.get("rank_pattern"), module, config.get("r", 8))
    alpha = _of(config.get("alpha_pattern"), module, config.get("lora_alpha", 8))
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))


def _of(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    """Return the value of the first pattern that matches the module's name, as PEFT reads them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def check_patterns(
    config: Mapping[str, Any], shown: str, modules: Iterable[str] = (LONGEST_NAME,)
) -> None:
    """Raise ``ModelError`` where a pattern is none, or takes too long on the modules' names.

    Args:
        config: What ``adapter_config`` returned.
        shown: What an error calls the adapter.
        modules: Names of the model's modules.
    """
    names = [*modules, LONGEST_NAME]
    for key in ("target_modules", "exclude_modules", "rank_pattern", "alpha_pattern",
                "layers_pattern", "modules_to_save"):  # fmt: skip
        value = config.get(key) or ()
        for pattern in [value] if isinstance(value, str) else value:
            try:
                with time_limit():
                    compiled = re.compile(rf"(.*\.)?({pattern})$")
                    for name in names:
                        compiled.match(name)
            except (TooLongError, re.error, OverflowError, RecursionError) as error:
                raise ModelError(
                    f"{shown}: its {CONFIG} has the pattern {pattern[:60]!r} in {key}, which "
                    f"cannot be used ({error}): name the modules instead"
                ) from error


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rank(value: Any) -> bool:
    return _number(value) and value == int(value) and 1 <= value <= MOST_RANK


def _words(value: Any) -> bool:
    words = [value] if isinstance(value, str) else value
    return value is None or (
        isinstance(words, list)
        and all(isinstance(word, str) and len(word) <= MOST_PATTERN for word in words)
    )


def _each(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return the check of a mapping of patterns to values."""
    return lambda value: (
        value is None
        or (isinstance(value, dict) and _words(list(value)) and all(map(is_right, value.values())))
    )


def _layers(value: Any) -> bool:
    given = value if isinstance(value, list) else [value]
    return value is None or all(isinstance(one, int) and 0 <= one < MOST_RANK for one in given)


_RANK = f"a whole number from 1 to {MOST_RANK}"
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "r": (_rank, _RANK),
    "lora_alpha": (_number, "a finite number"),
    "lora_dropout": (lambda v: _number(v) and 0 <= v < 1, "a number in [0, 1)"),
    "bias": (lambda v: v in ("none", "all", "lora_only"), "none, all or lora_only"),
    "rank_pattern": (_each(_rank), f"names of modules with {_RANK} each"),
    "alpha_pattern": (_each(_number), "names of modules with a finite number each"),
    "target_modules": (_words, "names of modules"),
    "exclude_modules": (_words, "names of modules"),
    "modules_to_save": (_words, "names of modules"),
    "layers_pattern": (_words, "names of modules"),
    "layers_to_transform": (_layers, "numbers of layers"),
    "base_model_name_or_path": (lambda v: v is None or isinstance(v, str), "a folder or hub id"),
    "use_rslora": (lambda v: v is None or isinstance(v, bool), "true or false"),
    "use_dora": (lambda v: v is None or isinstance(v, bool), "true or false"),
}
"""Key → whether a value is right, and what is expected. Keys that are not here PEFT checks."""


def base_of(folder: Path) -> str:
    """Return what to give instead of an adapter's folder, in words: its base, and it beside it."""
    try:
        config = json_in(folder / CONFIG)
    except (OSError, ValueError):
        config = None
    name = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    base = repr(name) if isinstance(name, str) and name else "its base model's folder"
    return f"give {base} as the model, and this folder as `adapter`"
