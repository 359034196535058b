"""Panacea for a finished model or adapter: no training loop, no user data, one backward pass."""

from typing import Any

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import Examples
from holdfast.defenses.panacea.panacea import Panacea
from holdfast.training.standalone import repair


def apply_panacea(
    model: nn.Module,
    harmful: Examples,
    tokenizer: Any,
    validation: Examples | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Artifact:
    r"""Add :math:`s\,\rho\,\nabla h/\lVert\nabla h\rVert` to a finished model's weights, in place.

    Args:
        model: A causal LM, or a PEFT model whose adapter is then the only thing perturbed (also
            where it was loaded for inference, with its gradients off). Weights in float32.
        harmful: The defender's harmful pairs, as Examples.
        tokenizer: The model's tokenizer, with a chat template.
        validation: Examples on which the scale s is chosen; without them s = 1.
        seed: Seed of what is drawn.
        **options: Further fields of ``Panacea`` (rho, kappa, scales, max_task_drop, …).

    Returns:
        ε kept apart, the frontier, the layer coefficients and, for LoRA, the safety patch.

    Raises:
        ConfigError: A field is out of range, or the weights are not float32.
        DataError: A row is longer than the model.
    """
    defense = Panacea(harmful=harmful, validation=validation, **options)
    return repair(defense, model, tokenizer, seed)
