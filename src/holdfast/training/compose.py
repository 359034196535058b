"""Rules for a list of defenses: the first is outermost, none twice, no declared conflict."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import nn

from holdfast.defense import Capability, Defense, refuse_no_rows
from holdfast.errors import ConfigError, ConflictError
from holdfast.ops.modules import trainable

__all__ = ["composed", "low_precision", "refuse_missing"]


def composed(defenses: Sequence[Defense]) -> tuple[Defense, ...]:
    """Validate every defense and every pair, and return them in order.

    Raises:
        ConfigError: It is no list of defenses, or a hyperparameter is out of range.
        DataError: What is given as a data set is none.
        ConflictError: Two defenses exclude each other, or one is given twice.
    """
    _refuse_others(defenses)
    for defense in defenses:
        refuse_no_rows(defense)
        defense.validate()
    for left, right in combinations(defenses, 2):
        if left.card.name == right.card.name:
            raise ConflictError(f"{left.card.name} is given twice; give it once")
        why = left.conflict(right) or right.conflict(left)
        if why:
            raise ConflictError(f"{left.card.name} and {right.card.name} exclude each other: {why}")
    return tuple(defenses)


def _refuse_others(defenses: Any) -> None:
    """Raise ``ConfigError`` where a name, a class or a single defense stands for the list."""
    listed = isinstance(defenses, Sequence) and not isinstance(defenses, str)
    wrong = [each for each in defenses if not isinstance(each, Defense)] if listed else [defenses]
    if wrong:
        raise ConfigError(
            f"defenses= is a list of defenses that were made, such as [CLASS(harmful=rows)], and "
            f"got {_shown(wrong[0])}{'' if listed else ' in its place'}: holdfast.find(NAME) is "
            "the class of a name, call it with its options"
        )


def _shown(given: Any) -> str:
    """Name what was given, and quote no rows that it holds: they may be harmful."""
    if isinstance(given, str) or given is None:
        return f"{given!r:.60}"
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def refuse_missing(defenses: Sequence[Defense], missing: dict[Capability, str]) -> None:
    """Raise before step 0 if a defense needs what this run cannot give.

    ``missing`` tells, by capability, why it is missing here and what to do.
    """
    for defense in defenses:
        for capability in sorted(defense.needs() & missing.keys()):
            why = "; ".join(filter(None, [missing[capability], defense.instead(capability)]))
            raise ConflictError(f"{defense.card.name} needs {capability.value}: {why}")


def low_precision(model: nn.Module) -> dict[Capability, str]:
    """Return what is missing where trainable tensors are not float32.

    In bfloat16 one small perturbation moves about half of the weights and the rest round back, so
    an edit of the weights would not be the edit the method asks for.
    """
    for name, p in trainable(model).items():
        if p.dtype != torch.float32:
            why = (
                f"the trainable tensor {name} is {p.dtype}, and small edits round away in it; load "
                "the model with dtype=torch.float32 and train with bf16=True (autocast) instead"
            )
            return {Capability.EDITS_WEIGHTS: why}
    return {}
