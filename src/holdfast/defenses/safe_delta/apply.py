"""Safe Delta for a finished model or adapter: no training loop and no user data."""

from typing import Any

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import Examples
from holdfast.defenses.safe_delta.safe_delta import SafeDelta
from holdfast.training.standalone import repair


def apply_safe_delta(
    model: nn.Module, safe: Examples, tokenizer: Any, *, s: float = 0.1, **options: Any
) -> Artifact:
    """Keep of a finished model's change what the safety rows bear, in place.

    Args:
        model: A PEFT model with a plain LoRA adapter, which is factored anew, or a causal LM with
            ``aligned=``. What is edited in float32.
        safe: Harmful requests with refusals, as Examples.
        tokenizer: The model's tokenizer, with a chat template.
        s: Budget of a row; 0 undoes the change of every linear layer.
        **options: Further fields of ``SafeDelta`` (aligned, block, damping, compensate, …).

    Returns:
        What was kept: ``report`` with the share of entries, the drift that is left on the safety
        rows and the error of re-factoring; each layer's own in ``documents["kept"]``.

    Raises:
        ConfigError: A field is out of range, or the aligned model is needed and not given.
        ModelError: The adapter is no plain LoRA, or the folder's model is another one.
        RunError: An edit is no number; the weights were left as they are.
    """
    return repair(SafeDelta(safe=safe, s=s, **options), model, tokenizer)
