"""What a sharded trainer's settings leave to a defense, and settings that shard nothing at all."""

import os
from typing import Any

from accelerate.utils import DistributedType

from holdfast.errors import ConfigError
from holdfast.ops.engines.capabilities import Capability

__all__ = ["fsdp_limits", "is_fsdp2", "refuse_passed_over"]

_OF_ROWS = frozenset({Capability.EDITS_DATA, Capability.ROWS, Capability.NLL})
"""What is done to rows before any engine sees them."""
_ASKED = (
    (DistributedType.FSDP, "FSDP", "fsdp", "ACCELERATE_USE_FSDP"),
    (DistributedType.DEEPSPEED, "DeepSpeed", "deepspeed", "ACCELERATE_USE_DEEPSPEED"),
)
"""How accelerate is asked for an engine: its kind, name, training argument and variable."""


def is_fsdp2(trainer: Any) -> bool:
    """Tell whether accelerate shards this trainer's model by ``fully_shard``."""
    return bool(trainer.accelerator.is_fsdp2)


def refuse_passed_over(trainer: Any) -> None:
    """Raise where FSDP or DeepSpeed was asked for and accelerate passes it over, as on a CPU.

    Raises:
        ConfigError: The model would be trained whole in every process, without a word.
    """
    kind = trainer.accelerator.distributed_type
    for wanted, name, option, variable in _ASKED:
        given = getattr(trainer.args, option, None)
        if (given or _true(variable)) and kind != wanted:
            told = f"`{option}={given!r}`" if option == "fsdp" else f"`{option}=`"
            raise ConfigError(
                f"{name} was asked for ({told}, or in accelerate's configuration), and accelerate "
                f"passes it over on {trainer.accelerator.device} in "
                f"{trainer.accelerator.num_processes} process(es): the model would be trained "
                f"whole in each; start several processes with a GPU each, or leave {name} out"
            )


def fsdp_limits(trainer: Any) -> dict[Capability, str]:
    """Return what a trainer under FSDP cannot give a defense, and why."""
    plugin = trainer.accelerator.state.fsdp_plugin
    if not is_fsdp2(trainer):
        why = "FSDP version 1 flattens the tensors; set `fsdp_version: 2`"
        return {c: why for c in Capability if c not in _OF_ROWS}
    found: dict[Capability, str] = {}
    if getattr(plugin, "activation_checkpointing", False):
        why = (
            "FSDP's own activation_checkpointing would recompute an extra pass in another mode "
            "than it ran in; set gradient_checkpointing=True of the training arguments instead"
        )
        found |= dict.fromkeys((Capability.EXTRA_BACKWARD, Capability.REPEATS), why)
    if getattr(plugin, "cpu_ram_efficient_loading", False):
        why = (
            "with fsdp_cpu_ram_efficient_loading the first process alone has the model's weights "
            "before step 0; set it to false"
        )
        parts = (Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS, Capability.ATTACHMENT)
        found |= dict.fromkeys(parts, why)
    return found


def _true(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")
