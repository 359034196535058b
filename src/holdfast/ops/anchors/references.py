r"""What a model said of answers before step 0, and the weights that it said it with.

Kept: the logits at the answer tokens alone, in the type that the model gives them, so nothing is
lost. They take N·V numbers for N answer tokens: 100 rows of 100 tokens with a vocabulary of
128,000 are 2.6 GB in bfloat16. With a top k it is 2·N·k + N numbers, and a distance from them is a
lower bound (``distances.distance``). Or nothing is kept but the trained weights: ``at`` them, one
more forward pass says the same again. For LoRA straight on the base that is the adapter off; it
holds as well for an adapter that did not begin at 0.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple

import torch
from torch import Tensor

from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.weights import copied, put

__all__ = [
    "Reference", "Table", "answer_count", "at", "masses", "reference_at", "reference_table",
    "rows_mark", "said_now",
]  # fmt: skip

Table = dict[str, Any]
"""References of several batches, as a learned field holds them: tensors and lists, by name."""


class Reference(NamedTuple):
    """What the model said at the N answer tokens of one batch."""

    logits: Tensor
    """Shape [N, V], or [N, k] of the likeliest k."""
    tokens: Tensor | None = None
    """Which k tokens, shape [N, k]; None where all are there."""
    rest: Tensor | None = None
    """Logarithm of the others' summed exp(z / T), shape [N]; None where all are there."""


def answer_count(batch: Batch) -> int:
    """Return the number N of predicted answer tokens, the rows of ``answer_logits``."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())


def rows_mark(batch: Batch) -> str:
    """Return a hash of a batch's tokens and labels, so that a later run can tell it is the same."""
    kept = [batch[n].cpu().contiguous().numpy() for n in ("input_ids", "labels") if n in batch]
    text = b"".join(str(part.shape).encode() + part.tobytes() for part in kept)
    return sha256(text).hexdigest()[:16]


@torch.no_grad()
def said_now(engine: Engine, batch: Batch, top_k: int = 0, temperature: float = 1.0) -> Reference:
    """Return what the model says of a batch's answer tokens with its weights as they are.

    Args:
        engine: The engine of the model; the pass has no dropout.
        batch: ``input_ids`` and ``labels``, and what goes with them.
        top_k: How many of each token's logits are kept; 0, or no fewer than there are, is all.
        temperature: T at which the rest's mass is summed.
    """
    asked = batch["labels"][:, 1:] != IGNORED
    logits = engine.forward({k: v for k, v in batch.items() if k != "labels"}).logits
    own = logits[:, :-1][asked.to(logits.device)].detach()
    if not 0 < top_k < own.shape[-1]:
        return Reference(own)
    kept, tokens = own.topk(top_k, dim=-1)
    return Reference(kept, tokens, masses(own, tokens, temperature)[:, -1])


def masses(logits: Tensor, tokens: Tensor | None, temperature: float = 1.0) -> Tensor:
    """Return logits at temperature T, those outside ``tokens`` joined to one, in float32.

    Args:
        logits: Shape [N, V].
        tokens: Shape [N, k], different ones in each row; None for all, where nothing is joined.
        temperature: T > 0.

    Returns:
        Shape [N, k + 1], the rest last; [N, V] where ``tokens`` is None.
    """
    scaled = logits.float() / temperature
    if tokens is None:
        return scaled
    others = scaled.scatter(-1, tokens, float("-inf")).logsumexp(-1, keepdim=True)
    return torch.cat([scaled.gather(-1, tokens), others], -1)


def reference_table(
    engine: Engine,
    batches: Sequence[Batch],
    top_k: int = 0,
    temperature: float = 1.0,
    tick: Callable[[], None] = lambda: None,
) -> Table:
    """Return what the model says now of each batch, on the CPU; ``reference_at`` reads it.

    Args:
        engine: The engine of the model, before step 0.
        batches: The defender's batches; later ones are found by their number.
        top_k: As in ``said_now``.
        temperature: As in ``said_now``.
        tick: Called after each batch.
    """
    found: list[Reference] = []
    for batch in batches:
        found.append(said_now(engine, batch, top_k, temperature))
        tick()
    table: Table = {
        "counts": [len(one.logits) for one in found],
        "rows": [rows_mark(batch) for batch in batches],
    }
    for name in Reference._fields:
        parts = [part.cpu() for one in found if (part := getattr(one, name)) is not None]
        if parts:
            table[name] = torch.cat(parts)
    return table


def reference_at(
    table: Mapping[str, Any], number: int, batch: Batch, device: torch.device, of: str
) -> Reference:
    """Return the reference of batch ``number``, from 0, on the device.

    Args:
        table: What ``reference_table`` returned, also in an earlier run.
        number: Which of its batches.
        batch: That batch as it is now.
        device: Where the reference is wanted.
        of: The defense, for the error.

    Raises:
        ConfigError: The table was made of other rows, as after a resume with another data set: each
            row would be held at what was said of another.
    """
    counts: list[int] = list(table["counts"])
    if number >= len(counts) or table["rows"][number] != rows_mark(batch):
        raise ConfigError(
            f"{of}: the checkpoint was written with other rows (batch {number + 1} of the memory "
            "is not the one that the start's logits are of); resume with the same rows, in the "
            "same order, and with the same `batch_size` and seed"
        )
    first, count = sum(counts[:number]), counts[number]
    parts: dict[str, Tensor] = {
        name: table[name][first : first + count].to(device)
        for name in Reference._fields
        if name in table
    }
    return Reference(**parts)


@contextmanager
def at(engine: Engine, weights: Mapping[str, Tensor]) -> Generator[None]:
    """Run the body at these values of the trained tensors; then put the own ones back bit for bit.

    For forward passes alone, and not between somebody's forward and its backward: what a graph has
    kept would have changed. Sharded tensors keep their layout.

    Args:
        engine: The engine of the model.
        weights: Values by canonical name, such as ``copied(engine.parameters())`` before step 0.
    """
    params = engine.parameters()
    kept = copied({name: params[name] for name in weights})
    try:
        put(params, weights)
        yield
    finally:
        put(params, kept)
