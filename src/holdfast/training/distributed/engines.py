"""Which engine runs a trainer's model: the one place that asks how accelerate distributes it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

from accelerate.utils import DistributedType
from torch import distributed as dist
from torch import nn

from holdfast.errors import ConfigError
from holdfast.files.outputs.processes import place
from holdfast.ops.engine import Engine, LocalEngine
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.engines.ddp import DDPEngine
from holdfast.ops.engines.deepspeed import deepspeed_limits
from holdfast.ops.engines.fsdp2 import FSDP2Engine
from holdfast.training import compat
from holdfast.training.distributed.sharding import fsdp_limits, is_fsdp2, refuse_passed_over

__all__ = ["engine_for"]

Autocast = Callable[[], AbstractContextManager[Any]]
_EVERYWHERE = frozenset(
    {Capability.EDITS_DATA, Capability.ROWS, Capability.NLL, Capability.LEARNING_RATES}
)
"""What asks nothing of an engine: it is done to rows, or by the optimizer's groups."""


def engine_for(trainer: Any, autocast: Autocast | None = None) -> Engine:
    """Return the engine of a trainer's model, which says in ``missing`` what it cannot do here.

    Args:
        trainer: A ``transformers.Trainer``, before or in its training.
        autocast: What extra passes run under; by default the trainer's own context.

    Raises:
        ConfigError: Several processes were started, and the trainer sees only itself.
    """
    refuse_passed_over(trainer)
    _refuse_unseen(trainer)
    context = autocast or trainer.compute_loss_context_manager
    return _ENGINES.get(compat.is_distributed(trainer), _unknown)(trainer, context)


def _refuse_unseen(trainer: Any) -> None:
    """Raise where each process would train a model of its own and write it over the others'."""
    started = max(place()[1], dist.get_world_size() if dist.is_initialized() else 1)
    seen = int(trainer.accelerator.num_processes)
    if started > seen:
        raise ConfigError(
            f"{started} processes were started as one run, and this trainer sees {seen}: each "
            "would train alone; without a GPU set use_cpu=True in its arguments"
        )


def _local(trainer: Any, autocast: Autocast) -> Engine:
    return LocalEngine(trainer.model, autocast)


def _ddp(trainer: Any, autocast: Autocast) -> Engine:
    def called() -> nn.Module | None:
        return cast("nn.Module | None", trainer.model_wrapped)

    return DDPEngine(trainer.model, autocast, called, compat.ddp_limits(trainer))


def _fsdp(trainer: Any, autocast: Autocast) -> Engine:
    kind = FSDP2Engine if is_fsdp2(trainer) else LocalEngine
    engine = kind(trainer.model, autocast)
    engine.missing = fsdp_limits(trainer)
    return engine


def _deepspeed(trainer: Any, autocast: Autocast) -> Engine:
    engine = LocalEngine(trainer.model, autocast)
    engine.missing = deepspeed_limits(trainer.accelerator.state.deepspeed_plugin.deepspeed_config)
    return engine


def _unknown(trainer: Any, autocast: Autocast) -> Engine:
    engine, kind = LocalEngine(trainer.model, autocast), compat.is_distributed(trainer)
    why = (
        f"this trainer runs under {kind}, for which there is no engine; start one process, or "
        "several with DistributedDataParallel (torchrun)"
    )
    engine.missing = {c: why for c in Capability if c not in _EVERYWHERE}
    return engine


_ENGINES: dict[str | None, Callable[[Any, Autocast], Engine]] = {
    None: _local,
    DistributedType.MULTI_CPU.value: _ddp,
    DistributedType.MULTI_GPU.value: _ddp,
    DistributedType.FSDP.value: _fsdp,
    DistributedType.DEEPSPEED.value: _deepspeed,
}
"""Engines by ``compat.is_distributed``."""
