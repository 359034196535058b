"""What each method can do on a model, by what the model is."""

from dataclasses import dataclass, replace
from typing import Any

from holdfast.defenses.support import support
from holdfast.errors import ModelError
from holdfast.training.lora_targets import on_projections
from holdfast.training.sft_options import lora

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
    try:
        works, told = True, "; ".join(on_projections(lora(8, 16), model)[1])
    except ModelError as error:
        works, told = False, str(error)
    found = (Method(*one) for one in support(model))
    return tuple(
        replace(one, works=works, why=told) if one.name == "lora" and one.works else one
        for one in found
    )
