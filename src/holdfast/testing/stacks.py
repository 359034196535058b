"""On every kind of adapter and beside packing a defense works, or it refuses before step 0."""

import warnings
from typing import Any

from holdfast.errors import InputError
from holdfast.testing import runs
from holdfast.testing.checks import Make, check_frozen
from holdfast.testing.runs import ADAPTERS, FULL, SFT_LORA, Setting, require

__all__ = ["check_adapters", "check_packing"]

JOINED: dict[str, dict[str, Any]] = {
    "packing (bfd)": {"packing": True, "packing_strategy": "bfd", "max_length": 64},
    "packing (wrapped)": {"packing": True, "packing_strategy": "wrapped", "max_length": 64},
    "padding_free": {"padding_free": True, "max_length": None},
}
"""Ways to join rows, as options of TRL's ``SFTConfig``."""


def check_adapters(make: Make, setting: Setting = SFT_LORA) -> None:
    """On rsLoRA, DoRA, PiSSA, LoRA with biases and a saved module: it acts, or it refuses."""
    if setting.tuning != "lora":
        return
    for adapter in (name for name in ADAPTERS if name != "lora"):
        _acts_or_refuses(make, SFT_LORA, adapter, adapter=adapter)


def check_packing(make: Make, setting: Setting = FULL) -> None:
    """Beside packed and padding-free rows: it acts, or it refuses."""
    if setting.tuning == "lora":
        return  # Rows are joined alike; once is enough.
    for name, options in JOINED.items():
        _acts_or_refuses(make, Setting("SFTTrainer"), name, **options)


def _acts_or_refuses(make: Make, setting: Setting, where: str, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT and TRL say what is slow, or cannot be merged.
        reference = runs.plain(setting, max_steps=2, **options).weights
        _run(make, setting, where, reference, {"max_steps": 2, **options})


def _run(
    make: Make, setting: Setting, where: str, reference: runs.Weights, options: dict[str, Any]
) -> None:
    defense, trainer, start = make(), None, {}
    try:
        trainer = runs.new_trainer([defense], setting, **options)
        start = runs.weights_of(trainer.model)
        trainer.train()
    except InputError as error:
        named = defense.card.name in str(error)
        require(named, f"{where}: the refusal does not name {defense.card.name}: {error}")
        if trainer is not None:
            late = trainer.state.global_step or runs.differing(
                start, runs.weights_of(trainer.model)
            )
            require(not late, f"{where}: refused after step 0: {error}")
        return
    weights = runs.weights_of(trainer.model)
    require(runs.differing(weights, reference), f"{where}: it was not refused and does nothing")
    check_frozen(trainer.model, start)
