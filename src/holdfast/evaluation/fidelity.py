"""How far a model keeps the answers of a reference model: usefulness where nothing is right or not.

For a harmless question x with the reference's own answer y (its greedy one, T tokens), the tuned
model reads both and is asked at each token what would come next. One forward pass, no judge::

    share = 1/T sum_t [argmax p(. | x, y_<t) = y_t]
    nll   = -1/T sum_t log p(y_t | x, y_<t)

A reference in float32 keeps all of its own answers, up to ties of two logits. The end of an answer
is not asked for: one that was cut at a limit of tokens has none.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.data.chat import collate, encode_prompt
from holdfast.errors import DataError
from holdfast.evaluation.generate import inference_mode
from holdfast.evaluation.metrics import Item
from holdfast.ops.batches import IGNORED

__all__ = ["Kept", "kept_answers", "perplexity"]

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Kept:
    """How far one answer of the reference is kept."""

    tokens: int
    """T, tokens of the answer."""
    share: float
    """Share of them that are the model's first choice, in [0, 1]."""
    nll: float
    """Mean negative log-probability of them, nats per token."""


def perplexity(found: Iterable[Kept]) -> float:
    """Return ``exp(sum nll_i T_i / sum T_i)`` over answers: the same weight for each token.

    NaN for no answer; infinite where a float cannot hold it.
    """
    parts = [(one.nll * one.tokens, one.tokens) for one in found]
    tokens = sum(n for _, n in parts)
    if not tokens:
        return math.nan
    mean = sum(loss for loss, _ in parts) / tokens
    return math.exp(mean) if mean < 700 else math.inf


def kept_answers(
    model: Any, tokenizer: Any, items: Sequence[Item], *, batch_size: int = 16
) -> dict[str, Kept]:
    """Return how far ``model`` keeps each item's reference, by the item's id.

    Args:
        model: Any causal language model, or a PEFT model around one; its mode comes back as it was.
        tokenizer: Its tokenizer, with a chat template.
        items: Questions whose ``reference`` is a reference model's own answer.
        batch_size: Answers read at a time.

    Raises:
        DataError: An item has no reference, or one without a token.
    """
    rows = [_row(item, tokenizer) for item in items]
    # Longest first: a batch holds little padding, and one that does not fit fails at once.
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]["input_ids"]), reverse=True)
    pad = next((t for t in (tokenizer.pad_token_id, tokenizer.eos_token_id) if t is not None), 0)
    found: dict[str, Kept] = {}
    with inference_mode(model):
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            read = _read(model, collate([rows[n] for n in chunk], pad))
            found |= {items[n].id: one for n, one in zip(chunk, read, strict=True)}
    return {item.id: found[item.id] for item in items}


def _row(item: Item, tokenizer: Any) -> Row:
    """Return the ids of a question and its answer, as generation has them, and what is asked."""
    if not item.reference:
        raise DataError(
            f"question {item.id}: has no answer that could be kept: give its completion"
        )
    said = tokenizer(item.reference, add_special_tokens=False)["input_ids"]
    if not said:
        raise DataError(f"question {item.id}: its answer {item.reference!r} has no token")
    asked = encode_prompt(list(item.prompt), tokenizer)
    return {"input_ids": [*asked, *said], "labels": [*[IGNORED] * len(asked), *said]}


def _read(model: Any, batch: dict[str, Tensor]) -> list[Kept]:
    """Return how far the answer in each row of a batch is kept."""
    ids = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
    logits = model(**ids, use_cache=False).logits  # [B, T, vocabulary]
    labels = batch["labels"].to(logits.device)[:, 1:]
    asked = labels != IGNORED
    chosen, wanted = logits[:, :-1][asked].float(), labels[asked]  # Answer tokens alone.
    right = (chosen.argmax(-1) == wanted).float()
    loss = cross_entropy(chosen, wanted, reduction="none")
    counts = asked.sum(1).tolist()
    sides = (values.cpu().double().split(counts) for values in (right, loss))
    parts = zip(counts, *sides, strict=True)
    return [Kept(n, float(hit.mean()), float(lost.mean())) for n, hit, lost in parts]
