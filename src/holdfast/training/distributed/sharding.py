"""What a sharded trainer's settings leave to a defense, and settings that shard nothing at all."""

import os
from typing import Any

from accelerate.utils import DistributedType

from holdfast.errors import ConfigError
from holdfast.ops.engines.capabilities import Capability

__all__ = ["fsdp_limits", "is_fsdp2", "refuse_ignored_fsdp"]

_OF_ROWS = frozenset({Capability.EDITS_DATA, Capability.ROWS, Capability.NLL})
"""What is done to rows before any engine sees them."""


def is_fsdp2(trainer: Any) -> bool:
    """Tell whether accelerate shards this trainer's model by ``fully_shard``."""
    return bool(trainer.accelerator.is_fsdp2)


def refuse_ignored_fsdp(trainer: Any) -> None:
    """Raise where FSDP was asked for and accelerate passes it over, as it does on a CPU.

    Raises:
        ConfigError: The model would be trained whole in every process, without a word.
    """
    asked = bool(getattr(trainer.args, "fsdp", None)) or _true("ACCELERATE_USE_FSDP")
    kind = trainer.accelerator.distributed_type
    if asked and kind != DistributedType.FSDP:
        where = trainer.accelerator.device
        raise ConfigError(
            f"FSDP was asked for (`fsdp={getattr(trainer.args, 'fsdp', None)!r}`, or in "
            f"accelerate's configuration), and accelerate passes it over on {where} in "
            f"{trainer.accelerator.num_processes} process(es): the model would not be sharded; "
            "start several processes with a GPU each, or leave FSDP out"
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
