"""Engines of several processes: each runs inside every process, and returns the whole weights."""

from holdfast.testing.runs import Weights, require
from tests.contract.recipes import Recipe
from tests.engines.references import HALF, SGD, acts_on_micro_batches
from tests.engines.trainers import Tuning, run

__all__ = ["ddp"]


def ddp(make: Recipe, tuning: Tuning) -> Weights:
    """Run under DistributedDataParallel, two rows in each process."""
    more = SGD if acts_on_micro_batches(make) else {}
    found = run([make()], tuning, per_device_train_batch_size=HALF, **more)
    kind = type(found.trainer.model_wrapped).__name__
    require(kind == "DistributedDataParallel", f"the model is in a {kind}")
    return found.weights
