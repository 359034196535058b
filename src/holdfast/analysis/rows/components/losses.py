r"""Each row's own loss: :math:`\ell(z;\theta)`, the mean over its answer tokens in nats."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.analysis.rows.components.tiles import Tile
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Engine

__all__ = ["losses", "row_losses64"]


def row_losses64(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of each row's answer tokens in float64, shape (rows,).

    Differences of such losses are divided by small steps: the softmax is taken in float64, so that
    what rounding is left is that of the logits.

    Args:
        logits: Shape (rows, tokens, vocabulary); those at position t predict token t + 1.
        labels: Shape (rows, tokens); ``-100`` outside the answers, one answer token a row or more.
    """
    wanted = labels[:, 1:].to(logits.device)
    asked = wanted != IGNORED
    found = functional.cross_entropy(
        logits[:, :-1][asked].double(), wanted[asked], reduction="none"
    )
    sums = torch.zeros(len(labels), dtype=torch.float64, device=logits.device)
    return sums.index_add(0, asked.nonzero()[:, 0], found) / asked.sum(1)


@torch.no_grad()
def losses(engine: Engine, tiles: Sequence[Tile]) -> list[Tensor]:
    """Return the rows' losses tile by tile, float64 on the CPU: one inference epoch.

    Args:
        engine: The engine of the model; the pass draws no dropout.
        tiles: What ``tiles_of`` returned.
    """
    found: list[Tensor] = []
    for tile in tiles:
        asked = {name: t for name, t in tile.batch.items() if name != "labels"}
        logits = engine.forward(asked).logits
        found.append(row_losses64(logits, tile.batch["labels"]).cpu())
    return found
