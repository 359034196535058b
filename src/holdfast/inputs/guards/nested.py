"""Options of SFTConfig that are mappings or lists in one text: libraries look at them in a step."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from trl.trainer.sft_config import SFTConfig

from holdfast.errors import ConfigError, nearest

__all__ = ["check_nested"]

_SWITCHES = ("use_reentrant", "preserve_rng_state", "debug", "early_stop")
_CHECKPOINTING = {**dict.fromkeys(_SWITCHES, (True, False)),
                  "determinism_check": ("default", "none")}  # fmt: skip
"""What ``torch.utils.checkpoint.checkpoint`` takes and a text can say."""
_MAPPINGS: Mapping[str, Mapping[str, tuple[Any, ...]] | None] = {
    "gradient_checkpointing_kwargs": _CHECKPOINTING,
    "activation_checkpointing_kwargs": _CHECKPOINTING,
    "dataset_kwargs": {"skip_prepare_dataset": (False,)},
    "lr_scheduler_kwargs": None,  # Whoever makes the schedule tells which it takes.
    "liger_kernel_config": None,
    "parallelism_config": None,
}
_PACKAGES = {"azure_ml": "azureml.core", "comet_ml": "comet_ml", "clearml": "clearml",
             "mlflow": "mlflow", "swanlab": "swanlab", "trackio": "trackio", "wandb": "wandb",
             "codecarbon": "codecarbon", "neptune": "neptune"}  # fmt: skip
"""What a tracker of this name imports, where its own check leaves half of one behind."""


def check_nested(config: SFTConfig) -> None:
    """Raise ``ConfigError`` for what is no mapping, has a key that nothing reads, or no package."""
    for name, keys in _MAPPINGS.items():
        _check_mapping(name, getattr(config, name, None), keys)
    parts = str(config.optim_args or "").replace(" ", "").split(",")
    if config.optim_args and not all(part.partition("=")[2] for part in parts):
        raise ConfigError(f"`optim_args={config.optim_args}`: expected KEY=VALUE,KEY=VALUE")
    for tracker in config.report_to or ():
        package = _PACKAGES.get(tracker, "").partition(".")[0]
        if package and find_spec(package) is None:
            raise ConfigError(
                f"`report_to={tracker}` needs the package {package}: install it, or leave the "
                "option out"
            )


def _check_mapping(name: str, value: object, keys: Mapping[str, tuple[Any, ...]] | None) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise ConfigError(f'`{name}={value}`: expected a mapping, such as {{"KEY": VALUE}}')
    if keys is None:
        return
    for key, given in value.items():
        if key not in keys:
            known = ", ".join(keys)
            raise ConfigError(f"`{name}`: unknown key {key!r}; known: {known}.{nearest(key, keys)}")
        allowed = keys[key]
        if not any(given is one or (isinstance(one, str) and given == one) for one in allowed):
            said = " or ".join(str(one).lower() for one in allowed)
            raise ConfigError(f"`{name}`: {key}={given!r} cannot be: expected {said}")
