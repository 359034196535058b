r"""gap: how much better a jailbroken model explains a row, in nats per answer token.

.. math:: \text{gap}(z) = \ell(z;\theta) - \ell(z;\theta\oplus\theta_s)

with the base's shared security vector θ_s, the removable adapter that makes it comply. One more
inference epoch and no anchors. Choosing rows by a gap in perplexity worked best of five mitigations
in arXiv 2508.06249; this use of it is ours.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from holdfast.analysis.rows.components.losses import losses
from holdfast.analysis.rows.components.tiles import Tile
from holdfast.errors import ModelError
from holdfast.ops.engine import Engine

__all__ = ["gap"]


def gap(
    engine: Engine,
    tiles: Sequence[Tile],
    before: Sequence[Tensor],
    jailbroken: AbstractContextManager[None],
) -> list[Tensor]:
    """Return the gaps tile by tile.

    Args:
        engine: The engine of the model θ.
        tiles: What ``tiles_of`` returned.
        before: The rows' losses under θ, from ``losses``.
        jailbroken: Puts θ_s on for its body, such as ``LowRank.hooked(model)``.

    Raises:
        ModelError: Nothing changes with it on: it is not on this model.
    """
    with jailbroken:
        after = losses(engine, tiles)
    if all(torch.equal(one, other) for one, other in zip(before, after, strict=True)):
        raise ModelError(
            "the security vector changes no loss of any row: it is empty or of another model; give "
            "the one that was trained on this base"
        )
    return [one - other for one, other in zip(before, after, strict=True)]
