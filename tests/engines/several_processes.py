"""Engines of several processes: each runs inside every process, and returns the whole weights."""

import pytest

from holdfast.ops.engines.sharded import is_sharded
from holdfast.testing.runs import Weights, require
from tests.contract.recipes import Recipe
from tests.engines.references import HALF
from tests.engines.trainers import Tuning, run
from tests.fsdp_on_cpu import ARGUMENTS, allow_fsdp

__all__ = ["ddp", "fsdp2"]


def ddp(make: Recipe, tuning: Tuning) -> Weights:
    """Run under DistributedDataParallel, two rows in each process."""
    found = run([make()], tuning, per_device_train_batch_size=HALF)
    kind = type(found.trainer.model_wrapped).__name__
    require(kind == "DistributedDataParallel", f"the model is in a {kind}")
    return found.weights


def fsdp2(make: Recipe, tuning: Tuning) -> Weights:
    """Run sharded by ``fully_shard``, two rows in each process."""
    with pytest.MonkeyPatch.context() as patch:
        allow_fsdp(patch)
        found = run([make()], tuning, per_device_train_batch_size=HALF, **ARGUMENTS)
        require(any(map(is_sharded, found.trainer.model.parameters())), "nothing is sharded")
        return found.weights
