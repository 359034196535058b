"""Engines of several processes: each runs inside every process, and returns the whole weights."""

from typing import Any
from unittest.mock import patch as patched

import pytest

from holdfast.ops.engine import LocalEngine
from holdfast.ops.engines.deepspeed import deepspeed_limits
from holdfast.ops.engines.sharded import is_sharded
from holdfast.testing.runs import Weights, require
from holdfast.training.distributed import engines
from tests.contract.recipes import Recipe
from tests.engines.references import HALF
from tests.engines.trainers import Tuning, run
from tests.fsdp_on_cpu import ARGUMENTS, allow_fsdp

__all__ = ["ddp", "fsdp2", "zero"]


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


def zero(make: Recipe, tuning: Tuning) -> Weights:
    """Build a trainer whose engine is as limited as DeepSpeed's; the package is not needed.

    Raises:
        AssertionError: It is not refused: only the real package could tell whether it is equal.
    """
    two, three = (deepspeed_limits({"zero_optimization": {"stage": s}}) for s in (2, 3))
    require(two == three, "the stages are refused differently")

    def limited(trainer: Any, autocast: Any) -> LocalEngine:
        engine = LocalEngine(trainer.model, autocast)
        engine.missing = two
        return engine

    with patched.dict(engines._ENGINES, {None: limited}):
        run([make()], tuning)
    raise AssertionError("it is not refused, and DeepSpeed was not there to run it")
