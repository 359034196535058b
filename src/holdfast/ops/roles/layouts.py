"""How fused projections lay out the rows of their parts: as data, per model type.

A layout is a number of groups and, in each group, the parts in their order with so many rows each:
``(heads, (("q", d), ("k", d), ("v", d)))`` is BLOOM's, where each head has its own q, k and v. The
tests compare every layout, row by row, with what data flow says of transformers' own classes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from holdfast.errors import ModelError
from holdfast.ops.roles.table import FUSED

__all__ = ["Layout", "layout_of", "rows_of"]

Layout = tuple[int, tuple[tuple[str, int], ...]]
"""(groups, ((part, rows in a group), …))."""


def rows_of(layout: Layout, total: int, name: str) -> dict[str, Tensor]:
    """Return the rows of each part, ascending.

    Args:
        layout: Of the projection.
        total: Rows of the whole projection.
        name: Of the module, for the message.

    Raises:
        ModelError: The parts do not add up to the projection.
    """
    groups, parts = layout
    width = sum(rows for _, rows in parts)
    if groups * width != total:
        raise ModelError(
            f"module {name!r} is fused of {groups} groups of {width} rows by this model's "
            f"configuration and has {total} rows; give a model whose configuration is its own"
        )
    index, at = torch.arange(total).reshape(groups, width), 0
    found: dict[str, Tensor] = {}
    for part, rows in parts:
        found[part] = index[:, at : at + rows].reshape(-1)
        at += rows
    return found


def layout_of(kind: str, role: str, config: Any, total: int) -> Layout | None:
    """Return how the type's projection of this fused role lies; None where it is not known.

    Args:
        kind: Model type.
        role: A fused role, ``qkv`` or ``gate_up``.
        config: Configuration of the text model.
        total: Rows of the projection.
    """
    make = _LAYOUTS.get((kind, role))
    return None if make is None else make(config, total)


def _heads(config: Any) -> int:
    return int(config.num_attention_heads)


def _of_head(config: Any, groups: int, share: int = 1) -> Layout:
    """One group per head or group of heads; ``share`` query heads in each."""
    size = int(getattr(config, "head_dim", None) or config.hidden_size // _heads(config))
    return groups, (("q", share * size), ("k", size), ("v", size))


def _per_head(config: Any, _total: int) -> Layout:
    return _of_head(config, _heads(config))


def _stacked(config: Any, total: int) -> Layout:
    """All of q, then all of k, then all of v; k and v may have fewer heads than q."""
    size = int(getattr(config, "head_dim", None) or config.hidden_size // _heads(config))
    keys = (total - _heads(config) * size) // 2
    return 1, (("q", total - 2 * keys), ("k", keys), ("v", keys))


def _halves(_config: Any, total: int) -> Layout:
    return 1, tuple((part, total // 2) for part in FUSED["gate_up"])


def _falcon(config: Any, total: int) -> Layout:
    if config.new_decoder_architecture:
        groups = int(config.num_kv_heads)
        return _of_head(config, groups, _heads(config) // groups)
    return _stacked(config, total) if config.multi_query else _per_head(config, total)


def _bigcode(config: Any, total: int) -> Layout:
    return _stacked(config, total) if config.multi_query else _per_head(config, total)


def _linear_attention(config: Any, _total: int) -> Layout:
    keys = int(config.linear_num_key_heads * config.linear_key_head_dim)
    values = int(config.linear_num_value_heads * config.linear_value_head_dim)
    return 1, (("q", keys), ("k", keys), ("v", values))


_LAYOUTS: dict[tuple[str, str], Callable[[Any, int], Layout]] = {
    ("phi3", "qkv"): _stacked, ("phi3", "gate_up"): _halves,
    ("glm", "gate_up"): _halves, ("glm4", "gate_up"): _halves,
    ("gpt_neox", "qkv"): _per_head, ("bloom", "qkv"): _per_head, ("persimmon", "qkv"): _per_head,
    ("falcon", "qkv"): _falcon, ("gpt2", "qkv"): _stacked, ("gpt_bigcode", "qkv"): _bigcode,
    ("mpt", "qkv"): _stacked, ("qwen3_5_text", "qkv"): _linear_attention,
}  # fmt: skip
