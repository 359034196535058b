"""Natural repair of a finished model or adapter: no training loop and no user data."""

from typing import Any

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import Examples
from holdfast.defenses.natural_repair.natural_repair import NaturalRepair
from holdfast.training.standalone import repair


def apply_natural_repair(
    model: nn.Module,
    harmful: Examples,
    tokenizer: Any,
    *,
    validation: Examples | None = None,
    lookalike: Examples | None = None,
    seed: int = 0,
    **options: Any,
) -> Artifact:
    """Lead a finished model back to refusing by a few small steps, in place.

    Args:
        model: A PEFT model, whose adapter is then all that is edited and whose base is asked for
            the refusals, or a causal LM with ``safe=`` or ``aligned=``. Edited tensors in float32.
        harmful: The defender's harmful pairs, as Examples; with ``direction="refusal"`` their
            prompts alone are read.
        tokenizer: The model's tokenizer, with a chat template.
        validation: Examples of the user's task and of general use: they make the metric and the
            task budget.
        lookalike: Harmless requests that look dangerous, with helpful answers: half of them are
            kept in the direction, half make the over-refusal budget.
        seed: Seed of what is drawn; nothing is, unless ``direction="random"``.
        **options: Further fields of ``NaturalRepair`` (safe, benign, step, steps, damping, …).

    Returns:
        The change kept apart, the frontier and, for LoRA, the safety patch. It is private.

    Raises:
        ConfigError: A field is out of range, or there is nothing to get refusals from.
        DataError: A row is longer than the model.
        ModelError: The aligned model cannot be had from this kind of adapter.
        RunError: The aligned model refuses nothing, or there is no usable gradient; the weights
            were left as they are.
    """
    rows = {"harmful": harmful, "validation": validation, "lookalike": lookalike}
    return repair(NaturalRepair(**rows, **options), model, tokenizer, seed)
