"""Batched greedy generation that leaves model and tokenizer as it found them.

Prompts are sorted by length, so that a batch holds little padding, padded on the left, and a batch
stops when its last answer has ended. Rows are padded here and never by the tokenizer, whose padding
side and padding token stay untouched.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from holdfast.data.chat import encode_prompt
from holdfast.errors import ConfigError, DataError

__all__ = ["Answered", "generate", "inference_mode"]

Answered = Callable[[int, int], None]
"""Called with (prompts answered so far, prompts in all) after each batch."""


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Mapping[str, str]]],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: Answered | None = None,
) -> list[str]:
    """Return the greedy answer to each prompt, in the order of ``prompts``.

    In float32 the answers are those of one-by-one generation, up to ties of two logits.

    Args:
        model: Any Hugging Face causal language model, or a PEFT model around one.
        tokenizer: Its tokenizer, with a chat template.
        prompts: Conversations up to the answer.
        max_new_tokens: Longest answer in tokens.
        batch_size: Prompts answered at a time.
        progress: Called after each batch.

    Raises:
        ConfigError: A limit below 1.
        DataError: A prompt and its longest answer exceed the model's positions.
        ModelError: The tokenizer has no chat template.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ConfigError(
            f"max_new_tokens and batch_size must be at least 1; "
            f"given {max_new_tokens} and {batch_size}"
        )
    rows = [encode_prompt(list(prompt), tokenizer) for prompt in prompts]
    _check_lengths(model, rows, max_new_tokens)
    config = _greedy(model, tokenizer, max_new_tokens)
    # Longest first: a batch that does not fit in memory fails at once and not at the end.
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
    answers = [""] * len(rows)
    with inference_mode(model):
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            replies = _answer(model, [rows[i] for i in chunk], config)
            for i, reply in zip(chunk, replies, strict=True):
                answers[i] = str(tokenizer.decode(reply, skip_special_tokens=True)).strip()
            if progress is not None:
                progress(start + len(chunk), len(order))
    return answers


@contextmanager
def inference_mode(model: torch.nn.Module) -> Generator[None]:
    """Run without dropout and without gradients; give every module its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _answer(
    model: PreTrainedModel, rows: list[list[int]], config: GenerationConfig
) -> list[list[int]]:
    """Return the new tokens of each row, cut before the first end-of-answer token."""
    width = max(len(row) for row in rows)
    pad = int(config.pad_token_id or 0)
    # ids, mask: [batch, width], padded on the left.
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=model.device)
    decode: Any = model.generate  # Declared as a union that type checkers cannot call.
    output = decode(input_ids=ids, attention_mask=mask, generation_config=config)
    new, ends = torch.as_tensor(output)[:, width:].tolist(), _end_tokens(config)
    return [list(takewhile(lambda token: token not in ends, reply)) for reply in new]


def _greedy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> GenerationConfig:
    """Return plain greedy decoding.

    Sampling options and penalties of the model's own generation config are set to neutral values
    and not left out: transformers fills what is left out from the model.
    """
    ends = sorted(_end_tokens(model.generation_config) | _end_tokens(tokenizer))
    pad = tokenizer.pad_token_id
    return GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True,
        temperature=1.0, top_p=1.0, top_k=50, repetition_penalty=1.0, no_repeat_ngram_size=0,
        eos_token_id=ends or None,
        pad_token_id=pad if pad is not None else (ends[0] if ends else 0),
    )  # fmt: skip


def _end_tokens(holder: object) -> set[int]:
    """Return the end-of-answer tokens that a config or tokenizer names."""
    named = getattr(holder, "eos_token_id", None)
    if named is None:
        return set()
    return {int(named)} if isinstance(named, int) else {int(token) for token in named}


def _check_lengths(model: PreTrainedModel, rows: list[list[int]], max_new_tokens: int) -> None:
    """Refuse a prompt whose answer would run past the model's positions."""
    limit = getattr(model.config, "max_position_embeddings", None)
    for number, row in enumerate(rows):
        if limit is not None and len(row) + max_new_tokens > limit:
            raise DataError(
                f"prompt {number} has {len(row)} tokens and up to {max_new_tokens} more to come; "
                f"the model takes {limit}: shorten it or lower max_new_tokens"
            )
