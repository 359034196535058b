"""From messages to token ids: the one chat-template path of training and of evaluation.

Both sides render with the tokenizer's own chat template, so that a model is evaluated on the very
tokens that it was tuned on.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from holdfast.data.rendering.dates import is_dated, with_fixed_date
from holdfast.errors import DataError, ModelError
from holdfast.files.guarded.limits import time_limit

__all__ = ["IGNORED", "check_lengths", "collate", "encode", "encode_prompt", "require_template"]

IGNORED = -100  # The label that PyTorch's cross entropy leaves out.


def require_template(tokenizer: Any) -> None:
    """Raise ``ModelError`` when ``tokenizer`` cannot render messages."""
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise ModelError(
            f"the tokenizer of {name} has no chat template: give one with "
            "`chat_template=FILE.jinja`, or set tokenizer.chat_template before tuning"
        )


def encode_prompt(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> list[int]:
    """Return the ids of ``messages``, the last the user's, as a model about to answer sees them.

    Raises:
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    return _render(messages, tokenizer, generation=True)


def encode(
    example: Mapping[str, Any], tokenizer: Any, max_length: int | None, where: str = "an example"
) -> dict[str, list[int]]:
    """Return ``input_ids`` and ``labels`` of one example; the loss is on the completion only.

    The prompt part is the template with ``add_generation_prompt=True``. Where a template writes
    something else after it in training (a thinking tag, say), the prompt part ends at the first
    token that differs.

    Args:
        example: ``{"prompt": [...], "completion": [...]}`` of messages.
        tokenizer: A Hugging Face tokenizer with a chat template.
        max_length: Most tokens a row may have, at least 1; None for no limit.
        where: What an error calls this example, such as ``"train.jsonl, row 3"``.

    Returns:
        ``{"input_ids": [T], "labels": [T]}``, labels ``-100`` on the prompt.

    Raises:
        DataError: The row has more than ``max_length`` tokens.
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    prompt = _render(example["prompt"], tokenizer, generation=True)
    ids = _render([*example["prompt"], *example["completion"]], tokenizer, generation=False)
    if max_length is not None and len(ids) > max_length:
        said = f"has {len(ids)} tokens and the model takes {max_length}"
        raise DataError(f"{where}: {said}: shorten or remove the row")
    start = _shared(prompt, ids)
    return {"input_ids": ids, "labels": [IGNORED] * start + ids[start:]}


def check_lengths(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, limit: int | None, name: str
) -> None:
    """Raise ``DataError``, naming the row of ``name``, unless each example fits the model."""
    for number, example in enumerate(rows, start=1):
        where = f"{name}, row {example.get('row') or number}"
        encode(example, tokenizer, limit, where=where)


def collate(rows: Sequence[Mapping[str, Sequence[int]]], pad_id: int) -> dict[str, Tensor]:
    """Pad encoded rows on the right to one batch.

    Args:
        rows: What ``encode`` returns, at least one.
        pad_id: The id that fills ``input_ids``; ``labels`` are filled with ``-100``.

    Returns:
        ``input_ids``, ``attention_mask`` and ``labels``, each int64 of shape [B, T].
    """
    width = max(len(row["input_ids"]) for row in rows)

    def padded(values: Sequence[int], fill: int) -> list[int]:
        return [*values, *[fill] * (width - len(values))]

    return {
        "input_ids": torch.tensor([padded(row["input_ids"], pad_id) for row in rows]),
        "attention_mask": torch.tensor([padded([1] * len(row["input_ids"]), 0) for row in rows]),
        "labels": torch.tensor([padded(row["labels"], IGNORED) for row in rows]),
    }


def _render(
    messages: Sequence[Mapping[str, str]], tokenizer: Any, *, generation: bool
) -> list[int]:
    """Apply the chat template; transformers 5 returns a BatchEncoding unless told otherwise."""
    require_template(tokenizer)
    plain = [dict(message) for message in messages]
    how: dict[str, Any] = {"tokenize": True, "return_dict": False}
    how["add_generation_prompt"] = generation
    if isinstance(tokenizer.chat_template, str) and is_dated(tokenizer.chat_template):
        how["chat_template"] = with_fixed_date(tokenizer.chat_template)
    try:
        with time_limit():
            return list(tokenizer.apply_chat_template(plain, **how))
    except Exception as error:
        # A template is a program of the model's author: it raises TemplateError for roles that it
        # does not know (Gemma has no system role), and anything else when it is broken.
        roles = ", ".join(message["role"] for message in messages)
        said = f"the tokenizer's chat template refuses messages of the roles {roles}"
        why = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{said}: {why}") from error


def _shared(prompt: Sequence[int], ids: Sequence[int]) -> int:
    """Return the length of the common prefix; at least one token of ``ids`` stays outside."""
    pairs = zip(prompt, ids[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
