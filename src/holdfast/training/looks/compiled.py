"""Whether the user's own pass is compiled: compiled code does not look at hooks added later."""

from collections.abc import Iterable
from typing import Any

import torch
from accelerate.utils import DynamoBackend
from torch import nn

from holdfast.defense import Capability

__all__ = ["any_compiled", "compiled_passes"]


def any_compiled(modules: Iterable[nn.Module]) -> bool:
    """Tell whether one of the modules is compiled, as a wrapper, in place or by its ``forward``."""
    return any(map(_is_compiled, modules))


def compiled_passes(trainer: Any) -> dict[Capability, str]:
    """Return what is missing where the user's own pass is, or will be, compiled, and why."""
    plugin: Any = getattr(trainer.accelerator.state, "dynamo_plugin", None)
    backend = getattr(plugin, "backend", DynamoBackend.NO)
    asked = trainer.args.torch_compile or backend != DynamoBackend.NO
    if not asked and not any_compiled([*trainer.model.modules(), trainer.model_wrapped]):
        return {}
    why = (
        "the model is compiled, and compiled code passes hooks by; train without torch_compile, "
        "and without torch.compile"
    )
    return {Capability.HOOKS: why}


def _is_compiled(module: nn.Module) -> bool:
    kept: Any = vars(module).get("forward")
    return (
        isinstance(module, torch._dynamo.OptimizedModule)  # type: ignore[reportPrivateUsage]
        or getattr(module, "_compiled_call_impl", None) is not None
        or hasattr(kept if kept is not None else type(module).forward, "_torchdynamo_orig_callable")
    )
