"""ZeRO-2 and ZeRO-3: by DeepSpeed itself where it is installed, else what refuses is seen alone."""

import importlib
import importlib.util
import os
from typing import Any
from unittest.mock import patch as patched

import torch

from holdfast.ops.engine import LocalEngine
from holdfast.ops.engines.deepspeed import deepspeed_limits
from holdfast.testing.runs import Weights, gap, require
from holdfast.training.distributed import engines
from tests.contract.recipes import Recipe
from tests.engines.references import HALF
from tests.engines.trainers import Tuning, floats, run

__all__ = ["INSTALLED", "zero"]

INSTALLED = importlib.util.find_spec("deepspeed") is not None
STAGES = (2, 3)


def zero(make: Recipe, tuning: Tuning) -> Weights:
    """Run under both stages, two rows in each process, and return the weights of ZeRO-3.

    Raises:
        AssertionError: The stages differ; or it is not refused and DeepSpeed is not installed.
    """
    two, three = (deepspeed_limits({"zero_optimization": {"stage": s}}) for s in STAGES)
    require(two == three, "the stages are refused differently")
    if not INSTALLED:
        _refused_by_a_stand_in(make, tuning)
    second, third = (_staged(make, tuning, stage) for stage in STAGES)
    require(gap(second, third) <= 1e-6, "ZeRO-2 and ZeRO-3 end with other weights")
    return third


def _staged(make: Recipe, tuning: Tuning, stage: int) -> Weights:
    """Run under one stage of the real DeepSpeed over gloo."""
    deepspeed: Any = importlib.import_module("deepspeed")  # No dependency.

    options = {"per_device_train_batch_size": HALF, "deepspeed": _configuration(stage)}
    # Its own collectives through shared memory would be compiled first, for minutes.
    compiled = patched.dict(deepspeed.ops.__compatible_ops__, {"deepspeed_shm_comm": False})
    with compiled, patched.dict(os.environ):
        os.environ.pop("ACCELERATE_USE_CPU", None)  # With it accelerate passes DeepSpeed over.
        ran = run([make()], tuning, **options)
    engine, model = ran.trainer.model_wrapped, ran.trainer.model
    require(type(engine).__name__ == "DeepSpeedEngine", f"the model is in a {type(engine)}")
    require(engine.zero_optimization_stage() == stage, "it is another stage")
    sharded = [p for p in model.parameters() if hasattr(p, "ds_id")]
    require(bool(sharded) == (stage == 3), "the weights are not spread as the stage says")
    with deepspeed.zero.GatheredParameters(sharded), torch.no_grad():
        return floats(model)


def _configuration(stage: int) -> dict[str, Any]:
    """Return DeepSpeed's options of a run that is the matrix's: without clipping, in float32."""
    return {
        "zero_optimization": {"stage": stage},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",  # Left out, it is 1.0, whatever `max_grad_norm` says.
        "zero_allow_untested_optimizer": True,
    }


def _refused_by_a_stand_in(make: Recipe, tuning: Tuning) -> None:
    """Build a trainer whose engine is as limited as DeepSpeed's."""

    def limited(trainer: Any, autocast: Any) -> LocalEngine:
        engine = LocalEngine(trainer.model, autocast)
        engine.missing = deepspeed_limits({})
        return engine

    with patched.dict(engines._ENGINES, {None: limited}):
        run([make()], tuning)
    raise AssertionError("it is not refused, and DeepSpeed is not there to run it")
