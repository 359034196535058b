"""What can be done with a model, by what its layers are: asked of the live model, nothing trained.

Each method's card says what it reads of an architecture; that is looked for here. What else a
method needs (rows, folders, kinds of adapter, precision) is checked by the method itself.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import nn

from holdfast.defense import Reads
from holdfast.defenses import registry
from holdfast.errors import ModelError
from holdfast.ops.modules import attentions, decoder_layers, left_out, linears, parts, projections
from holdfast.ops.roles.names import place_of
from holdfast.ops.roles.parts import LINEAR

__all__ = ["Support", "support"]


class Support(NamedTuple):
    """Whether one thing can be done with a model."""

    method: str
    """``roles``, ``lora``, ``analyze``, ``evaluate``, or the name of a defense."""
    works: bool
    reason: str
    """Why not; where it works, what of the decoder it leaves alone, or ``""``."""


def support(model: nn.Module) -> list[Support]:
    """Return what can be done with the model and what cannot, in a fixed order.

    A model on the ``meta`` device will do where the type is in the table of names.
    """
    return [
        _looked("roles", model, _roles),
        _looked("lora", model, _adapters),
        *(_looked(name, model, _LOOKS[c.card.reads]) for name, c in registry().items()),
        _looked("analyze", model, _analysis),
        _looked("evaluate", model, _generation),
    ]


def _looked(method: str, model: nn.Module, look: Callable[[nn.Module], str]) -> Support:
    try:
        return Support(method, True, look(model))
    except ModelError as error:
        return Support(method, False, str(error))


def _parameters(_model: nn.Module) -> str:
    return ""


def _roles(model: nn.Module) -> str:
    projections(model)
    return _left(model)


def _parts(model: nn.Module) -> str:
    parts(model)
    return _left(model)


def _attentions(model: nn.Module) -> str:
    attentions(model)
    return ""


def _layers(model: nn.Module) -> str:
    decoder_layers(model)
    return ""


def _adapters(model: nn.Module) -> str:
    # Layers that are not found among a decoder's (BERT's, for one) take an adapter all the same.
    outside = any(place_of(n)[0] < 0 and isinstance(m, LINEAR) for n, m in _inner(model))
    if not linears(model) and not outside:
        raise ModelError(f"{type(model).__name__} holds no linear layers; tune all weights")
    return ""


def _analysis(model: nn.Module) -> str:
    attentions(model)
    return _parts(model)


def _generation(model: nn.Module) -> str:
    bare: Any = getattr(model, "get_base_model", lambda: model)()
    if not getattr(bare, "can_generate", lambda: False)():
        raise ModelError(f"{type(bare).__name__} cannot generate; give a causal language model")
    return ""


def _inner(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that are not the head."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    yield from ((name, module) for name, module in model.named_modules() if module is not head)


def _left(model: nn.Module) -> str:
    """Return the matrices that have no role, in words."""
    kinds = Counter(kind for kind in left_out(model).values() if not kind.startswith("norm"))
    told = ", ".join(f"{kind} ({count} tensors)" for kind, count in sorted(kinds.items()))
    return f"left alone: {told}" if told else ""


_LOOKS: dict[Reads, Callable[[nn.Module], str]] = {
    "parameters": _parameters,
    "projections": _roles,
    "parts": _parts,
    "attentions": _attentions,
    "layers": _layers,
}
