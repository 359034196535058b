"""Options of SFTConfig that are of the right type and still cannot be: told before a run starts.

TRL and transformers look at most options where they use them: an optimizer whose package is missing
fails after the model was measured and its rows were read.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.utils.import_utils import is_liger_kernel_available
from trl.trainer.sft_config import SFTConfig

from holdfast.errors import ConfigError
from holdfast.inputs.guards.nested import check_nested
from holdfast.training.failures import as_run_error

__all__ = ["built", "checked_options", "refused"]

HIGHEST = {"seed": 2**32 - 1, "data_seed": 2**32 - 1, "max_steps": 2**53}
BF16 = ("bf16", "bf16_full_eval")


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are used here.

    ``bf16`` on a machine without an accelerator means to train on its processor, which SFTConfig
    has to be told as well.

    Raises:
        ConfigError: SFTConfig refuses them, or one needs a package that is not installed.
    """
    found = dict(options)
    for name, most in HIGHEST.items():
        if (found.get(name) or 0) > most:
            raise ConfigError(f"`{name}={found[name]}` is out of range, expected at most {most}")
    if found.get("max_steps") is not None and found["max_steps"] < 1 and found["max_steps"] != -1:
        raise ConfigError(
            f"`max_steps={found['max_steps']}` is out of range: expected at least 1, or -1 for as "
            "many as the epochs have"
        )
    if found.get("use_liger_kernel") and not is_liger_kernel_available():
        raise ConfigError("`use_liger_kernel` needs the package liger-kernel: install it")
    if any(found.get(name) for name in BF16) and not torch.accelerator.is_available():
        found.setdefault("use_cpu", True)
    config = built(found)
    if not torch.accelerator.is_available():
        _refuse_of_accelerators(config)
    check_nested(config)
    try:
        get_reporting_integration_callbacks(config.report_to)
    except Exception as error:
        raise refused("report_to", error) from error
    return found


def _refuse_of_accelerators(config: SFTConfig) -> None:
    """Raise for what asks for an accelerator, where there is none."""
    if config.activation_offloading:
        raise ConfigError(
            "`activation_offloading` takes activations off an accelerator, and there is none here: "
            "leave it out"
        )
    if config.fp16:
        raise ConfigError(
            "`fp16` needs an accelerator, and on this processor the run would be in float32: leave "
            "it out, or give bf16=true"
        )


def built(options: Mapping[str, Any]) -> SFTConfig:
    """Return SFTConfig of the options.

    Raises:
        ConfigError: It refuses them.
    """
    try:
        return SFTConfig(disable_tqdm=True, **options)
    except Exception as error:
        raise refused("SFTConfig", error) from error


def refused(who: str, error: Exception) -> Exception:
    """Return what an error of a library, met while the options were read, means for the user."""
    if (known := as_run_error(error, "nothing was kept")) is not None:
        return known
    why = " ".join(str(error).split()) or "no reason is given"
    if "use_cpu" in why:
        why = f"{why} (give `set=use_cpu=true` to train on the processor)"
    if isinstance(error, ImportError):
        why = f"{why} (install that package, or choose an option that needs none)"
    return ConfigError(f"{who} refuses the options: {type(error).__name__}: {why}")
