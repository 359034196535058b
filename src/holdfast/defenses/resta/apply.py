"""RESTA for a finished model or adapter: the defender's harmful pairs, and no user data."""

from typing import Any

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import Examples
from holdfast.defenses.resta.resta import RESTA
from holdfast.training.standalone import repair


def apply_resta(
    model: nn.Module,
    harmful: Examples | None,
    tokenizer: Any = None,
    *,
    gamma: float = 0.5,
    seed: int = 0,
    **options: Any,
) -> Artifact:
    r"""Add :math:`\gamma\,\delta_{safe} = \gamma(\theta_o - \theta_h)` to tuned weights, in place.

    RESTA (arXiv 2402.11746, eq. 2): :math:`\theta_h` is what a short fine-tune on the harmful pairs
    makes of the aligned model :math:`\theta_o`; with a LoRA adapter that is the model at B = 0.
    Other tensors keep every bit.

    Args:
        model: A PEFT model whose active LoRA adapter is then all that is edited, or fully tuned
            weights. What is edited in float32.
        harmful: The defender's harmful pairs, as Examples; None with ``vector``.
        tokenizer: The model's tokenizer, with a chat template; not needed with ``vector``.
        gamma: Multiple of the safety vector; 0 does nothing.
        seed: Seed of the order of the rows and of DARE's draw.
        **options: Further fields of ``RESTA`` (dare, lr, epochs, batch_size, aligned, vector).

    Returns:
        What was changed: ``report`` with the norm and the losses, and the direction, which is
        private: added instead of subtracted it undoes the safety.

    Raises:
        ConfigError: A field is out of range, or θ_o cannot be had.
        DataError: A row is longer than the model.
        ModelError: The adapter is one on which the edit is not exact.
        RunError: The direction is zero or not finite; the weights were left as they are.
    """
    return repair(RESTA(harmful=harmful, gamma=gamma, **options), model, tokenizer, seed)
