"""Modules treated by role where a weight is fused of several, and what has no role at all.

An optimizer has one rate for a tensor, so a fused projection learns as one. It is robust where all
of its parts are: what is sensitive never learns at the rate of what is robust.
"""

from collections.abc import Collection, Mapping

from torch import nn

from holdfast.defenses.subsets import At
from holdfast.ops.modules import left_out
from holdfast.ops.roles.table import FUSED

__all__ = ["as_trained", "told_of"]


def as_trained(robust: Collection[At], trained: Collection[At]) -> frozenset[At]:
    """Return Mods_Rob with each fused projection that is trained in the place of its parts.

    Args:
        robust: Mods_Rob by part: the q, k and v of a layer each for itself.
        trained: The projections that a run trains, fused ones whole (``qkv``, ``gate_up``).
    """
    whole = {
        (layer, role)
        for layer, role in trained
        if role in FUSED and all((layer, part) in robust for part in FUSED[role])
    }
    return frozenset(robust) | whole


def told_of(model: nn.Module, robust: Collection[At], trained: Mapping[At, int]) -> list[str]:
    """Return what a user has to know of fused and of left out weights, one line each."""
    lines: list[str] = []
    split = [
        f"{part} of layer {layer}"
        for layer, role in sorted(trained)
        for part in FUSED.get(role, ())
        if (layer, part) in robust and not as_trained(robust, [(layer, role)]) - frozenset(robust)
    ]
    if split:
        lines.append(
            "robust parts of fused projections that learn with the rest, because other parts of "
            f"the same weight are not robust: {', '.join(split)}"
        )
    kinds = sorted({k for k in left_out(model).values() if k in ("router", "routed experts")})
    if kinds:
        lines.append(f"{' and '.join(kinds)} are never robust modules; trained, they are the rest")
    return lines
