"""What an adapter's folder holds: its kinds, ranks and base, seen on a model without weights."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model

from holdfast.errors import ModelError, reason_of
from holdfast.files.base_mark import read_mark
from holdfast.files.guarded.adapters import WEIGHTS, adapter_config, check_patterns
from holdfast.files.guarded.models import shapes_in
from holdfast.files.whole_model import refuse_both
from holdfast.inputs.fit.adapters import check_keys, check_rows
from holdfast.ops.adapter_facts import adaptations

__all__ = ["AdapterFacts", "adapter_of"]


@dataclass(frozen=True)
class AdapterFacts:
    """What is known of an adapter."""

    folder: str
    kinds: Mapping[str, int]
    """What it does to a module → number of modules."""
    targets: Mapping[str, int]
    """Last part of the modules' names → number of modules."""
    rank: str
    alpha: float
    parameters: int
    base: str | None
    """The base that its config names."""
    marked: bool
    """It has holdfast's mark of its base, by which another base is told when it is loaded."""


def adapter_of(model: Any, folder: Path) -> AdapterFacts:
    """Put the adapter's layers on ``model``, whose weights may lie on ``meta``, and describe them.

    Raises:
        ModelError: It is no LoRA adapter, or does not fit the model.
    """
    shown = f"`adapter={folder}`"
    config = adapter_config(folder, shown)
    check_patterns(config, shown, (name for name, _ in model.named_modules()))
    refuse_both(folder, shown)
    check_rows(model, folder, shown)
    adapted = _attached(model, folder, shown)
    check_keys(adapted, folder, shown)
    facts = adaptations(adapted)
    sizes = _sizes(folder / WEIGHTS)
    ranks = sorted({config.get("r", 8), *(config.get("rank_pattern") or {}).values()})
    return AdapterFacts(
        folder=str(folder),
        kinds=Counter(fact.kind.value for fact in facts),
        targets=Counter(fact.module.rpartition(".")[2] for fact in facts),
        rank="–".join(str(r) for r in dict.fromkeys((ranks[0], ranks[-1]))),
        alpha=float(config.get("lora_alpha", 8)),
        parameters=sum(sizes),
        base=config.get("base_model_name_or_path"),
        marked=read_mark(folder) is not None,
    )


def _attached(model: Any, folder: Path, shown: str) -> Any:
    """Return the model with empty layers where the adapter has some."""
    try:
        config: Any = LoraConfig.from_pretrained(str(folder))
        start, config.init_lora_weights = config.init_lora_weights, False
        adapted = get_peft_model(model, config)
        config.init_lora_weights = start  # It tells kinds apart; drawing needs the base's values.
    except Exception as error:
        # PEFT raises its own and torch's errors on an adapter of another model.
        raise ModelError(f"{shown}: does not fit the model: {reason_of(error)}") from error
    return adapted


def _sizes(file: Path) -> list[int]:
    return [math.prod(shape) for shape in shapes_in(file).values()]
