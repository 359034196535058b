"""What each method can do on a model, by what the model is."""

from dataclasses import dataclass
from typing import Any

from holdfast.defenses.support import support

__all__ = ["Method", "methods_on"]


@dataclass(frozen=True)
class Method:
    """One method on one model."""

    name: str
    works: bool
    why: str
    """Why not, or what it leaves alone; "" where it works on all of it."""


def methods_on(model: Any) -> tuple[Method, ...]:
    """Return what each method can do on the bare ``model``, without running it."""
    return tuple(Method(*found) for found in support(model))
