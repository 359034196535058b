r"""norm: Self-Inf-N, a row's influence on itself with its length taken in (arXiv 2505.06843).

.. math:: \text{norm}(z) = \log(\lVert\nabla\ell(z)\rVert^2 + 1) + \log(\text{answer tokens} + 1)

over what the user trains. Without the length term short rows win.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.analysis.rows.components.losses import row_losses64
from holdfast.analysis.rows.components.tiles import Tile
from holdfast.errors import ModelError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import global_norm
from holdfast.ops.row_gradients import linear_factors, norms_of_batch

__all__ = ["norm"]


def norm(engine: Engine, tiles: Sequence[Tile]) -> list[Tensor]:
    """Return Self-Inf-N tile by tile.

    One backward pass a tile where all that is trained is linear layers (an adapter), one a row
    otherwise.

    Args:
        engine: The engine of the model.
        tiles: What ``tiles_of`` returned.

    Raises:
        ModelError: Nothing is trained.
    """
    if not engine.parameters():
        raise ModelError("norm needs the weights that the user trains, and this model trains none")
    return [_scores(_squares(engine, tile), tile) for tile in tiles]


def _scores(squares: Tensor, tile: Tile) -> Tensor:
    tokens = (tile.batch["labels"][:, 1:] != IGNORED).sum(1)
    return (squares.double().cpu() + 1).log() + (tokens.double() + 1).log()


def _squares(engine: Engine, tile: Tile) -> Tensor:
    layers = linear_factors(engine)
    found = norms_of_batch(engine, tile.batch, layers) if layers else None
    return torch.tensor(_one_by_one(engine, tile)) if found is None else found


def _one_by_one(engine: Engine, tile: Tile) -> list[float]:
    def loss(batch: Batch) -> Tensor:
        logits = engine.forward({k: v for k, v in batch.items() if k != "labels"}).logits
        return row_losses64(logits, batch["labels"]).sum()

    found: list[float] = []
    for n in range(len(tile.rows)):
        one = {name: tensor[n : n + 1] for name, tensor in tile.batch.items()}
        gradient, _ = engine.gradients([one], loss)
        found.append(math.pow(global_norm(gradient), 2))
    return found
