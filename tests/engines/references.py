"""What the weights of a cell must be: runs in one process that the engines are held against."""

from functools import cache, lru_cache, wraps
from typing import Any
from unittest.mock import patch

import torch
from accelerate.utils import convert_outputs_to_fp32

from holdfast.testing.runs import Weights, require
from holdfast.training.looks import users_loss
from tests.contract.recipes import Recipe
from tests.contract.settings import PER_MICRO_BATCH
from tests.engines import trainers
from tests.engines.trainers import BATCH, Ran, Tuning, floats, run

__all__ = ["HALF", "SGD", "acts_on_micro_batches", "by_micro_batches", "in_bfloat16", "whole"]

HALF = BATCH // 2
"""Rows of a micro-batch where a step has two."""
SGD: dict[str, Any] = {"optim": "sgd", "max_steps": 1, "learning_rate": 0.1}
"""One step whose change is the gradient's multiple: changes of two such runs can be averaged."""


@lru_cache(maxsize=4)
def whole(make: Recipe, tuning: Tuning) -> Weights:
    """Return the weights of the run in float32 of whole batches; the defense must act in it."""
    found = run([make()], tuning).weights
    plain = _plain(tuning)
    require(any(not torch.equal(w, plain[n]) for n, w in found.items()), "it does nothing here")
    return found


@cache
def _plain(tuning: Tuning) -> Weights:
    return run([], tuning).weights


def acts_on_micro_batches(make: Recipe) -> bool:
    """Tell whether the method is defined on each micro-batch, so that accumulation changes it."""
    return make.label in PER_MICRO_BATCH


@lru_cache(maxsize=4)
def by_micro_batches(make: Recipe, tuning: Tuning) -> Weights:
    """Return what steps of two micro-batches must come to.

    It is the run of whole batches. What acts on each micro-batch by its definition has a step of
    SGD instead: the mean of the steps of two runs on one micro-batch each, weighed by tokens.
    """
    if not acts_on_micro_batches(make):
        return whole(make, tuning)
    (start, one, few), (_, two, many) = (_alone(make, tuning, first) for first in (0, HALF))
    require(few != many, "micro-batches of as many tokens show no wrong weighing")
    part = few / (few + many)
    return {n: w + part * (one[n] - w) + (1 - part) * (two[n] - w) for n, w in start.items()}


def _alone(make: Recipe, tuning: Tuning, first: int) -> tuple[Weights, Weights, int]:
    """Return the weights before and after a step on one micro-batch, and its answer tokens."""
    trainer = trainers.new_trainer([make()], tuning, per_device_train_batch_size=HALF, **SGD)
    trainer.train_dataset = trainer.train_dataset.select(range(first, first + HALF))
    batch = next(iter(trainer.get_train_dataloader()))
    start = floats(trainer.model)
    trainer.train()
    return start, floats(trainer.model), int((batch["labels"][:, 1:] != -100).sum())


@lru_cache(maxsize=4)
def in_bfloat16(make: Recipe, tuning: Tuning) -> Weights:
    """Return the weights of a model that computes under autocast whoever calls it."""
    trainer: Any = trainers.new_trainer([make()], tuning)
    model, own = trainer.model, trainer.model.forward

    @wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return own(*args, **kwargs)

    model.forward = convert_outputs_to_fp32(forward)
    # The look at the user's loss allows the rounding of bfloat16 where it sees bf16=True.
    with patch.object(users_loss, "_EXACT", users_loss._ROUNDED):
        trainer.train()
    found, exact = Ran(trainer).weights, whole(make, tuning)
    require(any(not torch.equal(w, exact[n]) for n, w in found.items()), "autocast does nothing")
    return found
