"""The one-shot repair of a finished model or adapter: no training loop and no user data."""

from typing import Any

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import Examples
from holdfast.defenses.one_shot.one_shot import OneShot
from holdfast.training.standalone import repair


def apply_one_shot(
    model: nn.Module,
    safe: Examples,
    tokenizer: Any,
    *,
    validation: Examples | None = None,
    lookalike: Examples | None = None,
    seed: int = 0,
    **options: Any,
) -> Artifact:
    """Tune a finished model for a few steps on one refusal, in place.

    Args:
        model: A causal LM, or a PEFT model, whose adapter is then all that is edited. What is
            edited in float32.
        safe: Harmful requests with refusals: one is learned, others tell which one.
        tokenizer: The model's tokenizer, with a chat template.
        validation: Examples of the user's task: they make the task budget and half the objective.
        lookalike: Harmless requests that look dangerous: they make the over-refusal budget.
        seed: Seed of which rows are candidates.
        **options: Further fields of ``OneShot`` (steps, lr, optimizer, rank, candidates, …).

    Returns:
        The change kept apart, the row, what the trials found, and the frontier. It is private.

    Raises:
        ConfigError: A field is out of range, or there is nothing to get refusals from.
        DataError: A row is longer than the model.
        ModelError: The aligned model cannot be had from this kind of adapter.
        RunError: An update is no number; the weights were left as they are.
    """
    rows = {"safe": safe, "validation": validation, "lookalike": lookalike}
    return repair(OneShot(**rows, **options), model, tokenizer, seed)
