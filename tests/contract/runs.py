"""The settings in which the contract is checked; the runs are the shipped suite's."""

from datasets import Dataset

from holdfast.organism.scenarios import harmless_prompts
from holdfast.testing.runs import (
    FULL,
    LORA_ON_BF16,
    SFT_LORA,
    Outcome,
    Setting,
    Weights,
    differing,
    gap,
    new_folder,
    new_trainer,
    plain,
    trained,
    weights_of,
)

__all__ = [
    "EVERY_SETTING",
    "FULL",
    "LORA",
    "LORA_ON_BF16",
    "SFT_FULL",
    "SFT_LORA",
    "TWO_SETTINGS",
    "Outcome",
    "Setting",
    "Weights",
    "differing",
    "gap",
    "new_folder",
    "new_trainer",
    "plain",
    "trained",
    "user_rows",
    "weights_of",
]

LORA = Setting(tuning="lora")
SFT_FULL = Setting("SFTTrainer")
EVERY_SETTING = (FULL, LORA, SFT_FULL, SFT_LORA)
"""Each trainer with each way of tuning."""
TWO_SETTINGS = (FULL, SFT_LORA)
"""Each trainer once and each way of tuning once."""


def user_rows(n: int = 12) -> Dataset:
    """Return the Examples that the runs train on."""
    return harmless_prompts(n)
