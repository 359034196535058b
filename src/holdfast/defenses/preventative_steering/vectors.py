r"""The steering vectors (persona vectors, arXiv 2507.21509): a difference of two mean states.

.. math::
    v_l = \frac1n \sum_i \bar h_l(x_i, y^{harm}_i) - \frac1m \sum_j \bar h_l(x_j, y^{refusal}_j)

:math:`\bar h_l(x, y)` is the mean of what layer l puts out at the tokens of the answer y.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.ops.batches import IGNORED, example_ids
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.modules import decoder_layers
from holdfast.progress import Progress, counted


def steering_vectors(harmful: Tensor, refusals: Tensor) -> Tensor:
    r"""Return :math:`v_l`, the mean state of harmful answers less that of refusals.

    Args:
        harmful: Mean state of each harmful answer, shape (rows, layers, hidden).
        refusals: The same of each refusal; rows weigh alike, whatever their length.

    Returns:
        Shape (layers, hidden).
    """
    return harmful.mean(0) - refusals.mean(0)


def increments(vectors: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
    r"""Return what is added in each of ``layers``, so that after each of them the sum is its v.

    :math:`v_{l_1}, v_{l_2} - v_{l_1}, \ldots` (App. J.3 of the paper, where every layer has its
    increment): what one layer adds is still there in the next one.

    Args:
        vectors: :math:`v_l` of every layer of the model, shape (layers, hidden).
        layers: Numbers of layers from 0, rising.
    """
    sums = [torch.zeros_like(vectors[0]), *(vectors[n] for n in layers)]
    return {n: after - before for n, before, after in zip(layers, sums, sums[1:], strict=False)}


def random_like(by: Mapping[int, Tensor], seed: int) -> dict[int, Tensor]:
    """Return a random direction for each vector, as long as it: a control."""
    rng = torch.Generator().manual_seed(seed)
    drawn = {n: torch.randn(v.shape, generator=rng) for n, v in by.items()}
    return {n: drawn[n] * (v.norm() / drawn[n].norm()) for n, v in by.items()}


@torch.no_grad()
def answer_states(
    engine: Engine, batches: Collection[Batch], progress: Progress, stage: str
) -> Tensor:
    """Return the mean state of each answer's tokens in every layer: one forward pass.

    Args:
        engine: The engine of the model.
        batches: Rows with labels on the tokens of their answers.
        progress: Told of each batch.
        stage: What it is called there.

    Returns:
        Shape (rows with an answer, layers, hidden), float32 on the CPU.
    """
    live, found = decoder_layers(engine.model), list[Tensor]()
    for whole in counted(progress, stage, batches):
        for _, batch in engine.parts(whole):
            asked = {name: t for name, t in batch.items() if name != "labels"}
            with _means(live, batch) as means:
                engine.forward(asked)
            found.append(torch.stack(means, dim=1))
    return torch.cat(found)


@contextmanager
def _means(layers: Sequence[nn.Module], batch: Batch) -> Generator[list[Tensor]]:
    """Collect (answers, hidden) from each layer while the body runs."""
    asked = batch["labels"].cpu() != IGNORED
    owner = example_ids(batch)[asked].unique(return_inverse=True)[1]
    counts = owner.bincount()[:, None]
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        chosen = hidden[asked.to(hidden.device)].float().cpu()
        sums = torch.zeros(len(counts), chosen.shape[1]).index_add_(0, owner, chosen)
        found.append(sums / counts)

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(keep).remove)
        yield found
