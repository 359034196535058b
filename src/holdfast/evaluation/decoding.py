"""Greedy decoding that is ours alone: of a model's own settings only end and padding tokens count.

Penalties, biases, suppressed words and limits of time in a model's ``generation_config`` would
change what is measured while the weights are the same.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import GenerationConfig

from holdfast.data.rendering.dates import DATE, is_dated
from holdfast.data.rendering.turns import turn_ends

__all__ = ["alone", "end_tokens", "greedy", "recorded"]


def greedy(model: Any, tokenizer: Any, max_new_tokens: int) -> GenerationConfig:
    """Return plain greedy decoding; an answer ends with any token that ends a turn.

    These are the end tokens of the model, of the tokenizer, and what its chat template writes
    after an assistant's turn.
    """
    of_model = end_tokens(getattr(model, "generation_config", None))
    ends = sorted(of_model | end_tokens(tokenizer) | set(turn_ends(tokenizer)))
    pad = tokenizer.pad_token_id
    return GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True,
        temperature=1.0, top_p=1.0, top_k=50, repetition_penalty=1.0, no_repeat_ngram_size=0,
        eos_token_id=ends or None,
        pad_token_id=pad if pad is not None else (ends[0] if ends else 0),
    )  # fmt: skip


def end_tokens(holder: object) -> set[int]:
    """Return the end-of-answer tokens that a config or tokenizer names; what is none is left out.

    A negative id is no token: -1 stands for "none" in some folders.
    """
    named: Any = getattr(holder, "eos_token_id", None)
    listed: Iterable[Any] = named if isinstance(named, list | tuple | set) else [named]
    return {t for t in listed if isinstance(t, int) and not isinstance(t, bool) and t >= 0}


@contextmanager
def alone(model: nn.Module, config: GenerationConfig) -> Generator[None]:
    """Put ``config`` in place of every generation config of the model, and give them back.

    transformers fills what a config leaves open from the model's own, fields unknown to it too.
    """
    holders = [m for m in model.modules() if "generation_config" in vars(m)]
    before = [m.generation_config for m in holders]
    had = "generation_config" in vars(model)
    model.generation_config = config  # type: ignore[assignment]
    try:
        for each in holders:
            each.generation_config = config  # type: ignore[assignment]
        yield
    finally:
        if not had:
            del model.generation_config
        for each, own in zip(holders, before, strict=True):
            each.generation_config = own  # type: ignore[assignment]


def recorded(model: Any, tokenizer: Any, max_new_tokens: int) -> dict[str, int | str]:
    """Return what a result keeps of the decoding."""
    ends = greedy(model, tokenizer, max_new_tokens).eos_token_id or []
    words = tokenizer.convert_ids_to_tokens(ends)
    told: dict[str, int | str] = {"method": "greedy", "max_new_tokens": max_new_tokens}
    date = {"date": f"{DATE:%Y-%m-%d}"} if is_dated(tokenizer.chat_template) else {}
    return {**told, "end_tokens": " ".join(str(word) for word in words), **date}
