"""How well a model agrees with answers it is shown: one forward pass, no generation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.errors import DataError
from holdfast.ops.batches import IGNORED, example_ids
from holdfast.ops.engine import Batch, Engine

__all__ = ["agreement", "answer_logits"]


def answer_logits(engine: Engine, batch: Batch) -> Tensor:
    """Return the logits that predict the answer tokens, shape (answer tokens, vocabulary)."""
    logits = engine.forward({k: v for k, v in batch.items() if k != "labels"}).logits
    asked = batch["labels"].to(logits.device)[:, 1:] != IGNORED
    return logits[:, :-1][asked].float()


@torch.no_grad()
def agreement(engine: Engine, batches: Sequence[Batch]) -> tuple[float, float, float]:
    """Return (loss in nats per token, share of exact answers, share of right tokens).

    An answer is exact when each of its tokens is the first choice given those before it, which is
    when greedy decoding writes just this answer.

    Raises:
        DataError: No batch has an answer token: a measurement of nothing is none.
    """
    loss = right = tokens = exact = answers = 0.0
    for batch in (part for whole in batches for _, part in engine.parts(whole)):
        logits = engine.forward({k: v for k, v in batch.items() if k != "labels"}).logits
        labels = batch["labels"].to(logits.device)[:, 1:]
        asked = labels != IGNORED
        wanted = labels[asked]
        chosen = logits[:, :-1][asked].float()  # Answer tokens alone: prompts fill most of a batch.
        hit = chosen.argmax(-1) == wanted
        loss += float(torch.nn.functional.cross_entropy(chosen, wanted, reduction="sum"))
        right += float(hit.sum())
        tokens += float(asked.sum())
        # A padding-free batch is one row of many examples; each has an answer of its own.
        owner = example_ids(batch)[:, 1:].to(asked.device)[asked]
        asking, missed = owner.unique(), owner[~hit].unique()
        exact += len(asking) - len(missed)
        answers += len(asking)
    if not tokens:
        raise DataError(
            "nothing can be measured on rows without an answer token: the trainer's max_length or "
            "its preparation left none of them"
        )
    return loss / tokens, exact / answers, right / tokens
