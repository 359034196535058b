"""How much of an optimizer step one micro-batch is, by the way the trainer scales its own loss."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import Trainer

from holdfast.training import compat

__all__ = ["divisor", "share"]


def divisor(trainer: Trainer, items: Any) -> int:
    """Return what the trainer will divide the loss of this micro-batch by before its backward.

    A term that is added to the loss is multiplied by it first, so that its weight stays its own.
    """
    return 1 if compat.scales_itself(trainer, items) else _micros(trainer)


def share(trainer: Trainer, inputs: Any, items: Any) -> float:
    """Return the weight of this micro-batch's mean loss in the optimizer step; they sum to 1.

    Over several processes it is their mean that sums to 1: so much does the mean of their
    gradients make of each.

    It is the share of the step's answer tokens where the trainer's loss is a mean over all of
    them, and the same for each micro-batch where that loss is a mean of the micro-batches' means:
    a defense's term weighs tokens as the user's loss does.
    """
    tokens = _counted(trainer, inputs) if compat.scales_itself(trainer, items) else None
    if tokens is None or items is None:
        return 1 / _micros(trainer)
    return compat.times_averaged(trainer, items) * float(tokens) / max(1.0, float(items))


def _micros(trainer: Trainer) -> int:
    return max(1, int(trainer.current_gradient_accumulation_steps))


def _counted(trainer: Trainer, inputs: Any) -> Tensor | None:
    """Return the number of answer tokens as the trainer counts them, or None without labels."""
    labels = compat.counted_labels(trainer, inputs) if isinstance(inputs, Mapping) else None
    return None if labels is None else labels.ne(-100).sum()
