"""Ask a judge's model: what it writes, greedily, or how likely it takes a few next words to be."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig

from holdfast.errors import ModelError
from holdfast.evaluation.decoding import alone, end_tokens
from holdfast.evaluation.generate import inference_mode

__all__ = ["MASS", "Written", "class_shares", "next_words", "written"]

Ids = list[int]
MASS = 0.5
"""Least probability that the expected words have together; below, the judge was not asked in its
own format and has said nothing."""
_DIGITS = 4
"""Decimals of a probability that hang on neither the batch nor the padding."""


class Written(NamedTuple):
    """What a judge's model wrote."""

    text: str
    certainty: float
    """Probability of the first word that it wrote; of a word in pieces, of the first piece."""


def written(
    model: Any, tokenizer: Any, rows: Sequence[Ids], new: int, batch_size: int
) -> list[Written | None]:
    """Return what the model writes behind each row, greedily; None where the row is too long."""
    found: list[Written | None] = [None] * len(rows)
    ends = end_tokens(model.generation_config) | end_tokens(model.config) | end_tokens(tokenizer)
    config = GenerationConfig(
        max_new_tokens=new, do_sample=False, num_beams=1, eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id, return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    with inference_mode(model), alone(model, config):
        for places, ids, mask in _batches(model, tokenizer, rows, batch_size, new):
            said = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
            replies = said.sequences[:, ids.shape[1] :].tolist()
            logits = torch.stack(said.logits, dim=1).float()  # [batch, new, vocabulary]
            for place, reply, steps in zip(places, replies, logits, strict=True):
                found[place] = _read(tokenizer, reply, steps)
    return found


def next_words(
    model: Any, tokenizer: Any, rows: Sequence[Ids], words: Sequence[str], batch_size: int
) -> list[list[float] | None]:
    """Return the probability of each of ``words`` as the next one, among these alone.

    None where a row is too long, or where the words together have less than ``MASS``.

    Raises:
        ModelError: A word is no token of the model.
    """
    ids_of = [_one_token(tokenizer, word) for word in words]
    found: list[list[float] | None] = [None] * len(rows)
    with inference_mode(model):
        for places, ids, mask in _batches(model, tokenizer, rows, batch_size, 1):
            at = (mask.cumsum(dim=1) - 1).clamp(min=0)
            logits = model(input_ids=ids, attention_mask=mask, position_ids=at).logits[:, -1]
            shares = logits.float().softmax(dim=-1)[:, ids_of]  # [batch, words]
            for place, row in zip(places, shares, strict=True):
                mass = float(row.sum())
                found[place] = _rounded(row / mass) if mass >= MASS else None
    return found


def class_shares(model: Any, rows: Sequence[Ids]) -> list[list[float] | None]:
    """Return the sigmoid of each class's logit, row by row: nothing is padded.

    None where one is no number: the model has said nothing.
    """
    found: list[list[float] | None] = []
    with inference_mode(model):
        for row in rows:
            ids = torch.tensor([row], device=model.device)
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            shares = logits[0].float().sigmoid()
            found.append(None if shares.isnan().any() else _rounded(shares))
    return found


def _batches(
    model: Any, tokenizer: Any, rows: Sequence[Ids], batch_size: int, new: int
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Yield (places, ids, mask) of rows alike in length, padded on the left; too long ones not."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    fitting = [n for n, row in enumerate(rows) if limit is None or len(row) + new <= limit]
    order = sorted(fitting, key=lambda n: len(rows[n]), reverse=True)
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        width = len(rows[places[0]])
        pads = [width - len(rows[n]) for n in places]
        pairs = list(zip(places, pads, strict=True))
        ids = [[tokenizer.pad_token_id] * pad + rows[n] for n, pad in pairs]
        mask = [[0] * pad + [1] * len(rows[n]) for n, pad in pairs]
        at = {"device": model.device}
        yield places, torch.tensor(ids, **at), torch.tensor(mask, **at)


def _read(tokenizer: Any, reply: Ids, steps: Tensor) -> Written:
    text = str(tokenizer.decode(reply, skip_special_tokens=True))
    for token, logits in zip(reply, steps, strict=False):
        if str(tokenizer.decode([token], skip_special_tokens=True)).strip():
            return Written(text, round(float(logits.softmax(dim=-1)[token]), _DIGITS))
    return Written(text, 0.0)


def _one_token(tokenizer: Any, word: str) -> int:
    found = tokenizer.get_vocab().get(word)
    if found is None:
        raise ModelError(
            f"{word!r} is no token of the judge's tokenizer, so it cannot be read off: give the "
            "model that this judge is made for"
        )
    return int(found)


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
