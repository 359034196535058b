"""FSDP2 under a real ``Trainer`` on a CPU: accelerate shards there once it is told that it may."""

from typing import Any

import pytest
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

ARGUMENTS: dict[str, Any] = {
    "fsdp": True,
    "fsdp_config": {
        "version": 2,
        "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"],
        "state_dict_type": "FULL_STATE_DICT",
        "cpu_ram_efficient_loading": False,
    },
}
"""Options of ``TrainingArguments`` that ask for it."""


def allow_fsdp(patch: pytest.MonkeyPatch) -> None:
    """Let accelerate take up its FSDP plugin on a CPU too; it passes it over without a word."""
    own = AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        own(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    patch.setattr(AcceleratorState, "__init__", init)
