"""Batched greedy generation that leaves model and tokenizer as it found them.

Prompts are sorted by length, so that a batch holds little padding, padded on the left, and a batch
stops when its last answer has ended. Rows are padded here and never by the tokenizer, whose padding
side and padding token stay untouched.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any, Protocol, runtime_checkable

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from holdfast.data.chat import encode_prompt
from holdfast.errors import ConfigError, DataError, RunError
from holdfast.evaluation.decoding import alone, end_tokens, greedy
from holdfast.evaluation.reply import Replies, Reply
from holdfast.ops.bits import kept_trainable

__all__ = ["Answered", "Engine", "generate", "inference_mode", "replies", "replies_to"]

Answered = Callable[[int, int], None]
"""Called with (prompts answered so far, prompts in all) after each batch."""


@runtime_checkable
class Engine(Protocol):
    """Stands in the place of a model; it decodes greedily and brings its own tokenizer."""

    def replies(
        self,
        prompts: Sequence[Sequence[Mapping[str, str]]],
        *,
        max_new_tokens: int,
        progress: Answered | None = None,
    ) -> list[Reply]:
        """Return the reply to each prompt, in order.

        Raises:
            RunError: It failed; what was answered before is kept where that can be.
        """
        ...

    def recorded(self, max_new_tokens: int) -> dict[str, int | str]:
        """Return what a result keeps of the decoding."""
        ...

    def finished(self) -> None:
        """Take that the answers are in a result: what was kept of them may go."""
        ...


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Mapping[str, str]]],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: Answered | None = None,
) -> list[str]:
    """Return the greedy answer to each prompt, without thinking; see ``replies``."""
    how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    return [reply.text for reply in replies(model, tokenizer, prompts, progress=progress, **how)]


def replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Mapping[str, str]]],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: Answered | None = None,
) -> list[Reply]:
    """Return the greedy reply to each prompt, in the order of ``prompts``.

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
        RunError: The model's scores are no numbers.
    """
    rows = [encode_prompt(list(prompt), tokenizer) for prompt in prompts]
    how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    return replies_to(model, tokenizer, rows, progress=progress, **how)


def replies_to(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[list[int]],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: Answered | None = None,
    decoding: GenerationConfig | None = None,
) -> list[Reply]:
    """Return the greedy reply to each row of tokens, as ``replies`` does for conversations.

    A row may go beyond a prompt: what stands behind it begins an answer, and is no part of the
    reply. ``decoding`` takes the place of greedy decoding; whoever samples seeds torch.

    Raises:
        ConfigError: A limit below 1.
        DataError: A row and its longest answer exceed the model's positions.
        RunError: The model's scores are no numbers.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ConfigError(
            f"max_new_tokens and batch_size must be at least 1; "
            f"given {max_new_tokens} and {batch_size}"
        )
    _check_lengths(model, rows, max_new_tokens)
    # Longest first: a batch that does not fit in memory fails at once and not at the end.
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
    found = [Reply("")] * len(rows)
    if not rows:
        return found
    config, read = decoding or greedy(model, tokenizer, max_new_tokens), Replies(tokenizer)
    kept_trainable(model)
    with inference_mode(model), alone(model, config):
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            said = _answer(model, [rows[i] for i in chunk], config)
            for i, (tokens, cut) in zip(chunk, said, strict=True):
                found[i] = read.of(tokens, cut=cut)
            if progress is not None:
                progress(start + len(chunk), len(order))
    return found


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
) -> list[tuple[list[int], bool]]:
    """Return the new tokens of each row before its end token, and whether it had none."""
    width = max(len(row) for row in rows)
    pad = int(config.pad_token_id or 0)
    # ids, mask: [batch, width], padded on the left.
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=model.device)
    decode: Any = model.generate  # Declared as a union that type checkers cannot call.
    ends = end_tokens(config)
    numbers = _Numbers(width, sorted(ends))
    how: dict[str, Any] = {}
    if hasattr(model, "get_output_embeddings"):  # As transformers and PEFT have it.
        how["logits_processor"] = LogitsProcessorList([numbers])
    output = decode(input_ids=ids, attention_mask=mask, generation_config=config, **how)
    numbers.check(len(rows))
    new = torch.as_tensor(output)[:, width:].tolist()
    said = [list(takewhile(lambda token: token not in ends, reply)) for reply in new]
    return [(own, len(own) == len(reply)) for own, reply in zip(said, new, strict=True)]


class _Numbers(LogitsProcessor):
    """Sees whether the scores are numbers, and leaves them as they are.

    Of scores without a number the first token is taken: a broken model would look as if it said
    nothing, and so be safe.
    """

    def __init__(self, width: int, ends: list[int]) -> None:
        self._width, self._ends = width, torch.tensor(ends)
        self._broken: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Take the scores of one more token; an answer that has ended is no longer looked at."""
        said = input_ids[:, self._width :]
        going = ~torch.isin(said, self._ends.to(said.device)).any(dim=-1)
        now = scores.isnan().any(dim=-1) & going
        self._broken = now if self._broken is None else self._broken | now
        return scores

    def check(self, prompts: int) -> None:
        """Raise ``RunError`` where an answer was made of what is no number."""
        broken = 0 if self._broken is None else int(self._broken.sum())
        if broken:
            raise RunError(
                f"the model's scores are no numbers (NaN) on {broken} of {prompts} prompts, so "
                "that it says nothing, which would read as safe: its weights are broken "
                "(training diverged, say), or too large for their type: load it with "
                "dtype=float32, or give an earlier checkpoint"
            )


def _check_lengths(model: PreTrainedModel, rows: Sequence[list[int]], max_new_tokens: int) -> None:
    """Refuse a prompt whose answer would run past the model's positions."""
    limit = getattr(model.config, "max_position_embeddings", None)
    for number, row in enumerate(rows):
        if limit is not None and len(row) + max_new_tokens > limit:
            raise DataError(
                f"prompt {number} has {len(row)} tokens and up to {max_new_tokens} more to come; "
                f"the model takes {limit}: shorten it or lower max_new_tokens"
            )
