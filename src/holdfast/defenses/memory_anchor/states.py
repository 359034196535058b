r"""Hidden states held near those of the start: LDIFS (arXiv 2308.13320).

.. math:: \frac{1}{N S d}\sum_{n,l} \lVert h_{l,n}(\theta) - h_{l,n}(\theta_0)\rVert_2^2
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import RunError
from holdfast.ops.batches import IGNORED
from holdfast.ops.modules import decoder_layers

States = dict[int, Tensor]
"""Layer, from 1 → its output in the latest pass, shape [B, T, d]."""


def read_layers(count: int, every: int) -> list[int]:
    """Return the layers that are read, from 1: the last one and every ``every``-th before it."""
    return sorted(range(count, 0, -every))


@contextmanager
def reading(model: nn.Module, every: int) -> Generator[States]:
    """Collect the outputs of the layers that are read, of the latest pass of the body."""
    layers, found = decoder_layers(model), States()
    chosen = [(number, layers[number - 1]) for number in read_layers(len(layers), every)]
    handles = [layer.register_forward_hook(_keeping(found, n)) for n, layer in chosen]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _keeping(found: States, number: int) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        found[number] = output[0] if isinstance(output, tuple) else output

    return keep


def answer_states(states: Mapping[int, Tensor], labels: Tensor) -> Tensor:
    """Return the states that predict the answer tokens, shape [S, N, d], in the model's type.

    Args:
        states: What ``reading`` has collected.
        labels: Shape [B, T]; ``-100`` outside the answers.

    Raises:
        RunError: Activations are recomputed in a way that leaves the states without a graph.
    """
    asked = labels[:, 1:] != IGNORED
    read = [states[n][:, :-1][asked.to(states[n].device)] for n in sorted(states)]
    if not read or (torch.is_grad_enabled() and not read[-1].requires_grad):
        raise RunError(
            "memory_anchor: `method='ldifs'` needs the hidden states of the user's own pass, and "
            "they come without a graph; recompute activations with use_reentrant=False"
        )
    return torch.stack(read)


def states_distance(states: Tensor, start: Tensor) -> Tensor:
    """Return the mean over layers, answer tokens and dimensions of the squared difference.

    Args:
        states: Now, shape [S, N, d].
        start: At θ0, the same shape; no gradient flows into it.
    """
    return (states.float() - start.float()).square().sum() / max(1, states.numel())
