"""Roles of a type that no table knows, shown without its weights: by a few random layers of it."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from holdfast.errors import HoldfastError
from holdfast.ops.modules import decoder_layers
from holdfast.ops.roles.shown import stand_in
from holdfast.ops.roles.table import ARCHITECTURES

__all__ = ["COUNTS", "let_stand_in"]

COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Fields of a config that say how many layers there are."""
MOST = 10**9
"""Parameters of what stands in, 4 GB; a larger one shows its roles when it is loaded."""
VOCABULARY = {"vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def let_stand_in(model: Any, build: Callable[[Any], Any]) -> None:
    """Build what shows the roles of ``model``; where that cannot be, they stay unknown.

    Roles are a matter of how modules are wired, not of the values of their weights. What stands in
    has the model's own config but fewer layers, a small vocabulary and random weights.

    Args:
        model: A bare model on the ``meta`` device.
        build: Makes a model with values of a config.
    """
    if str(model.config.get_text_config().model_type) in ARCHITECTURES:
        return
    try:
        layers = decoder_layers(model)
        small = _cut(model.config, _first_of_each(layers), len(layers))
        with torch.device("meta"):
            size = sum(p.numel() for p in type(model)(deepcopy(small)).parameters())
        if size > MOST:
            return
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = _roughened(build(small).float())
        stand_in(model, made, decoder_layers(made))
    except HoldfastError:
        return
    except Exception:  # noqa: BLE001  # A config may not be cut in a way that its class knows.
        return


def _first_of_each(layers: list[nn.Module]) -> int:
    """Return how many layers, from the first one on, hold every kind that there is."""
    kinds = [tuple((n, tuple(p.shape)) for n, p in layer.named_parameters()) for layer in layers]
    return max(kinds.index(kind) for kind in kinds) + 1


def _cut(config: Any, kept: int, count: int) -> Any:
    small = deepcopy(config)
    text = small.get_text_config()
    for name, value in list(vars(text).items()):
        if isinstance(value, list | tuple) and len(value) == count:
            setattr(text, name, value[:kept])
    for name in COUNTS:
        if getattr(text, name, None) == count:
            setattr(text, name, kept)
    for name, value in VOCABULARY.items():
        setattr(text, name, value)
    return small


def _roughened(model: Any) -> Any:
    """Move every vector: one of zeros or ones would hide what reads it."""
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.1)
    return model
