"""What is learned before step 0: v of every layer, and how much harm each of them explains."""

from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.defense import Run
from holdfast.defenses.attachments import attached_nll
from holdfast.defenses.preventative_steering.tokens import Positions, switch
from holdfast.defenses.preventative_steering.vectors import answer_states, steering_vectors
from holdfast.ops.engine import Batch
from holdfast.progress import counted


def made(run: Run, harmful: Sequence[Batch], refusals: Sequence[Batch], name: str) -> Tensor:
    """Return v of every layer, shape (layers, hidden): one forward pass over the pairs."""
    stage = f"{name}: states of"
    return steering_vectors(
        answer_states(run.engine, harmful, run.progress, f"{stage} harmful answers"),
        answer_states(run.engine, refusals, run.progress, f"{stage} refusals"),
    )


def scanned(
    run: Run, vectors: Tensor, held: Sequence[Batch], positions: Positions, name: str
) -> Tensor:
    """Return the held-out harmful NLL with each layer's v on at α = 1, nats per token.

    One forward pass over the held-out rows for each layer.
    """
    device = next(run.model.parameters()).device
    found = list[float]()
    for number in counted(run.progress, f"{name}: layers", range(len(vectors))):
        on = switch(run.model, {number: vectors[number].to(device)}, positions)
        found.append(attached_nll(run.engine, on, held))
    return torch.tensor(found)
