"""What a command may do with weights that are quantized, or that lie on a disk."""

from torch import nn

from holdfast.errors import ConfigError
from holdfast.inputs.configs import (
    AnalyzeConfig,
    ModelConfig,
    RepairConfig,
    TuneConfig,
)  # fmt: skip
from holdfast.ops.bits import elsewhere, quantized_as

__all__ = ["refuse_early", "refuse_uneditable"]


def refuse_early(config: ModelConfig) -> None:
    """Raise, before a model is loaded, where the command would change weights kept in bits.

    Raises:
        ConfigError: It would.
    """
    if config.quantization is not None:
        _refuse(config, f"`quantization={config.quantization}`")


def refuse_uneditable(config: ModelConfig, model: nn.Module) -> None:
    """Raise where the command would change weights of the bare ``model`` that cannot be changed.

    Raises:
        ConfigError: They are quantized, or some of them lie on a disk.
    """
    if (how := quantized_as(model)) is not None:
        _refuse(config, f"`model={config.model}` (its weights are quantized: {how})")
    away = elsewhere(model)
    if away is not None and isinstance(config, TuneConfig | RepairConfig | AnalyzeConfig):
        raise ConfigError(
            f"`device_map={config.device_map}`: {away} and others found no room in memory and lie "
            "on the disk, where they can be read and neither trained nor edited: use "
            "`quantization=4bit`, a smaller model or a larger machine; `holdfast evaluate` works"
        )


def _refuse(config: ModelConfig, given: str) -> None:
    if isinstance(config, TuneConfig) and not config.lora:
        raise ConfigError(
            f"{given}: quantized weights cannot be trained: add `lora=True`, which trains an "
            "adapter beside them, or load them in full"
        )
    if isinstance(config, RepairConfig) and config.adapter is None:
        raise ConfigError(
            f"{given}: quantized weights cannot be edited: give `adapter=DIR` and the adapter is "
            "repaired, or load them in full"
        )
    if isinstance(config, AnalyzeConfig):
        raise ConfigError(
            f"{given}: an analysis changes the weights module by module, and quantized ones "
            "cannot be changed: load them in full, in bfloat16 where memory is short"
        )
