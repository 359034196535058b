"""The organism's own small training loop: supervised, on the answer's tokens alone.

It does what ``SFTTrainer`` does with the same figures (AdamW without weight decay, linear decay to
0, clipping at 1, mean over the answer tokens of the batch), without its start-up time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import nn

from holdfast.data.chat import collate, encode

__all__ = ["Row", "encode_rows", "fit"]

Row = Mapping[str, Sequence[int]]  # What holdfast.data.chat.encode returns.


def encode_rows(examples: Iterable[Any], tokenizer: Any) -> list[Row]:
    """Return the encoded form of each Example, through the one chat-template path."""
    return [encode(example, tokenizer, None) for example in examples]


def _batches(rows: Sequence[Row], batch: int, random: Random) -> Iterator[list[Row]]:
    """Yield full batches for ever, each epoch in a new order."""
    while True:
        order = list(rows)
        random.shuffle(order)
        yield from (order[at : at + batch] for at in range(0, len(order) - batch + 1, batch))


def fit(  # noqa: PLR0913  # A training configuration.
    model: nn.Module,
    rows: Sequence[Row],
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    warmup: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> float:
    """Train what requires gradients for ``steps`` steps; return the last batch's loss in nats.

    Args:
        model: A causal language model whose forward returns ``.loss``; left in evaluation mode.
        rows: Encoded rows, at least one; the padding id is 0, as in every organism.
        steps: Optimizer steps.
        batch: Rows a step; all of them where there are fewer.
        learning_rate: Peak rate; it falls linearly to 0 after ``warmup`` steps.
        seed: Decides the order of the rows.
        warmup: Steps of linear rise.
        on_step: Called with the loss after each step.
    """
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    stream = _batches(rows, min(batch, len(rows)), Random(seed))  # noqa: S311  # Not a secret.
    model.train()
    last = 0.0
    for step in range(steps):
        rate = learning_rate * min((step + 1) / max(1, warmup), 1.0) * (1 - step / steps)
        optimizer.param_groups[0]["lr"] = rate
        loss = model(**collate(next(stream), 0)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        last = float(loss.detach())
        if on_step is not None:
            on_step(last)
    model.eval()
    return last
