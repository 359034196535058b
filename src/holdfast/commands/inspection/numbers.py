"""How many parameters a model has, where, and how many an adapter would train."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from peft import get_peft_model
from torch import nn

from holdfast.errors import HoldfastError
from holdfast.ops.modules import decoder_layers
from holdfast.training.lora_targets import on_projections
from holdfast.training.sft_options import lora

__all__ = ["Numbers", "numbers_of"]

RANK, ALPHA = 8, 16
"""What ``tune`` trains by default."""


@dataclass(frozen=True)
class Numbers:
    """Counts of parameters; a weight that two layers share counts once."""

    total: int
    decoder: int | None
    """In the decoder layers; None where holdfast does not find them."""
    embeddings: int
    """Of the tokens, at the input and at the output."""
    tied: bool
    """Input and output share one weight."""
    other: int | None
    lora: int | None
    """Trained by an adapter of rank 8 on all linear layers; None where PEFT refuses it."""


def numbers_of(model: Any) -> Numbers:
    """Return the counts of a bare model, whose weights may lie on the device ``meta``."""
    total = _count(model.parameters())
    first, last = model.get_input_embeddings(), model.get_output_embeddings()
    held = [m.weight for m in (first, last) if m is not None]
    embeddings = _count(held)
    try:
        inside = {id(p): p for layer in decoder_layers(model) for p in layer.parameters()}
        decoder = _count(inside.values())
    except HoldfastError:
        decoder = None
    return Numbers(
        total=total,
        decoder=decoder,
        embeddings=embeddings,
        tied=len({id(p) for p in held}) < len(held),
        other=None if decoder is None else total - decoder - embeddings,
        lora=_adapted(model),
    )


def _count(parameters: Any) -> int:
    return sum({id(p): p.numel() for p in parameters}.values())


def _adapted(model: nn.Module) -> int | None:
    try:
        config, _ = on_projections(lora(RANK, ALPHA), model)
        adapted: Any = get_peft_model(deepcopy(model), config)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001  # PEFT raises whatever a layer that it does not know brings.
        return None
    return _count(p for p in adapted.parameters() if p.requires_grad)
