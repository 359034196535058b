"""Where a model lies that nobody gave a place: on the GPU of this machine, where there is one."""

from typing import Any

import torch

from holdfast.errors import ConfigError
from holdfast.inputs.configs import ModelConfig, TuneConfig
from holdfast.inputs.rows import ORGANISM
from holdfast.ops.bits import quantized_as

__all__ = ["on_the_gpu"]


def on_the_gpu(model: Any, config: ModelConfig, field: str = "model") -> Any:
    """Return the model of a command on the GPU, unless ``device_map`` or bits say where it lies.

    A run of training is left alone: its Trainer puts the model where it trains. So is the built-in
    test model, whose steps are shorter than the start of a GPU's kernels.

    Raises:
        ConfigError: The model finds no room there.
    """
    if config.device_map is not None or isinstance(config, TuneConfig) or config.model == ORGANISM:
        return model
    if (device := _gpu()) is None or quantized_as(model) is not None:
        return model
    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"`{field}={getattr(config, field)}`: its weights in {config.dtype} find no room on "
            f"{device}: give `device_map=auto`, which spreads them, `device_map=cpu`, or "
            "`dtype=bfloat16`"
        ) from error


def _gpu() -> torch.device | None:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None
