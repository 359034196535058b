"""Whether a trainer writes its own training rows with the model: by what its step calls.

GRPO does so where it prepares its inputs, Online DPO and GKD in their training step, somebody's own
class wherever it likes. So the code of a step is followed, as far as it is not stock.
"""

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

__all__ = ["generates"]

_STEP = ("training_step", "_prepare_inputs", "compute_loss")
"""Where a trainer's step begins."""
_CALLS = frozenset({"generate", "generate_batch"})
_STOCK = ("transformers", "accelerate", "torch", "holdfast")


def generates(kind: type[Any]) -> bool:
    """Tell whether a step of this class of trainers calls ``generate``, by whatever detours."""
    left, seen = list(_STEP), set[str]()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        for function in _definitions(kind, name):
            called = set(_names(function.__code__))
            if called & _CALLS:
                return True
            left += [other for other in called if hasattr(kind, other)]
    return False


def _definitions(kind: type[Any], name: str) -> Iterator[FunctionType]:
    """Yield every definition of a method that is not stock, also those that ``super`` reaches."""
    for owner in kind.__mro__:
        found: Any = vars(owner).get(name)
        found = getattr(found, "__func__", getattr(found, "fget", found))
        while hasattr(found, "__wrapped__"):
            found = found.__wrapped__
        if isinstance(found, FunctionType) and found.__module__.partition(".")[0] not in _STOCK:
            yield found


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that the code uses, functions inside it included."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
