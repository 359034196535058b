"""The user's own rows compared with what the model at θ0 makes of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.defenses.memory_anchor.methods import Settings
from holdfast.defenses.memory_anchor.states import answer_states, reading, states_distance
from holdfast.ops.anchors.distances import distance
from holdfast.ops.anchors.references import Reference, at, said_now
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine

Seen = Tensor | Reference
"""Hidden states [S, N, d], or what was said of the N answer tokens."""


@torch.no_grad()
def seen_at_start(
    engine: Engine, batch: Batch, start: Mapping[str, Tensor], of: Settings, every: int
) -> Seen:
    """Return what the model at ``start`` makes of a batch: its states, or its logits.

    Not between the user's forward and its backward: the start's tensors are put in for it.
    """
    with at(engine, start):
        if of.compared == "logits":
            return said_now(engine, batch)
        with reading(engine.model, every) as states:
            engine.forward({k: v for k, v in batch.items() if k != "labels"})
        return answer_states(states, batch["labels"])


def same_rows(left: Batch, right: Batch) -> bool:
    """Tell whether two batches have the same tokens and labels, and as many of each."""
    names = [n for n in ("input_ids", "labels") if n in left or n in right]
    return all(n in left and n in right and torch.equal(left[n], right[n]) for n in names)


def user_distance(
    outputs: Any, states: Mapping[int, Tensor], labels: Tensor, seen: Seen, of: Settings
) -> Tensor:
    """Return how far the user's own pass is from the start, a mean over the answer tokens.

    Args:
        outputs: Of the pass, with its logits.
        states: What its layers have given, where these are compared.
        labels: Of its batch, shape [B, T].
        seen: What ``seen_at_start`` returned for that batch.
        of: What is compared, and by which distance.
    """
    if not isinstance(seen, Reference):
        return states_distance(answer_states(states, labels), seen)
    asked = (labels[:, 1:] != IGNORED).to(outputs.logits.device)
    return distance(outputs.logits[:, :-1][asked], seen, of.distance, of.temperature)
