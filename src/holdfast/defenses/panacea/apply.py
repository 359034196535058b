"""Panacea for a finished model or adapter: no training loop, no user data, one backward pass."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from holdfast.artifact import Artifact
from holdfast.compose import composed, low_precision, refuse_missing
from holdfast.data.chat import collate, encode
from holdfast.defense import Row, Run
from holdfast.defenses.panacea.panacea import Panacea
from holdfast.ops.engine import LocalEngine
from holdfast.ops.randomness import isolated_rng


def standalone_run(model: nn.Module, tokenizer: Any, seed: int = 0) -> Run:
    """Return the ``Run`` of a model outside any trainer."""
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def prepare(rows: Sequence[Row]) -> list[dict[str, list[int]]]:
        return [
            encode(dict(rows[i]), tokenizer, limit, where=f"row {i + 1}") for i in range(len(rows))
        ]

    return Run(model, LocalEngine(model), prepare, partial(collate, pad_id=pad), seed)


def apply_panacea(
    model: nn.Module,
    harmful: Sequence[Row],
    tokenizer: Any,
    validation: Sequence[Row] | None = None,
    **options: Any,
) -> Artifact:
    r"""Add :math:`s\,\rho\,\nabla h/\lVert\nabla h\rVert` to a finished model's weights, in place.

    Args:
        model: A causal LM, or a PEFT model whose adapter is then the only thing perturbed (also
            where it was loaded for inference, with its gradients off). Weights in float32.
        harmful: The defender's harmful pairs, as Examples.
        tokenizer: The model's tokenizer, with a chat template.
        validation: Examples on which the scale s is chosen; without them s = 1.
        **options: Further fields of ``Panacea`` (rho, kappa, scales, max_task_drop, …).

    Returns:
        ε kept apart, the frontier, the layer coefficients and, for LoRA, the safety patch.

    Raises:
        ConfigError: A field is out of range, or the weights are not float32.
        DataError: A row is longer than the model.
    """
    defense = Panacea(harmful=harmful, validation=validation, **options)
    composed([defense])
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    adapters = [p for name, p in model.named_parameters() if "lora_" in name]
    for p in adapters:
        p.requires_grad_(True)
    try:
        refuse_missing([defense], low_precision(model))
        with isolated_rng(0):
            return defense.after(standalone_run(model, tokenizer))
    finally:
        for name, p in model.named_parameters():
            p.requires_grad_(flags[name])
