"""From messages to token ids: the one chat-template path of training and of evaluation.

Both sides render with the tokenizer's own chat template, so that a model is evaluated on the very
tokens that it was tuned on.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from holdfast.data.rendering.rendered import rendered_ids, require_template
from holdfast.data.turns.conversation import conversation_of
from holdfast.data.turns.trained import trained_tokens
from holdfast.errors import DataError, ModelError
from holdfast.ops.batches import IGNORED

__all__ = ["check_lengths", "collate", "encode", "encode_prompt", "require_template"]


def encode_prompt(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> list[int]:
    """Return the ids of ``messages``, the last the user's, as a model about to answer sees them.

    Raises:
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    return rendered_ids(messages, tokenizer, generation=True)


def encode(
    example: Mapping[str, Any], tokenizer: Any, max_length: int | None, where: str = "an example"
) -> dict[str, list[int]]:
    """Return ``input_ids`` and ``labels`` of one example; the loss is on the assistant's turns.

    A row with a column ``rich`` is a whole conversation, and each of its assistant's turns is
    learned unless its weight is 0. Any other row is a prompt and a completion: the prompt part is
    the template with ``add_generation_prompt=True``. Where a template writes something else after
    it in training (a thinking tag, say), the prompt part ends at the first token that differs.

    Args:
        example: ``{"prompt": [...], "completion": [...]}`` of messages, and maybe ``rich``.
        tokenizer: A Hugging Face tokenizer with a chat template.
        max_length: Most tokens a row may have, at least 1; None for no limit.
        where: What an error calls this example, such as ``"train.jsonl, row 3"``.

    Returns:
        ``{"input_ids": [T], "labels": [T]}``, labels ``-100`` on the prompt.

    Raises:
        DataError: The row is no Example, has more than ``max_length`` tokens, its turns cannot be
            told apart, or the template writes a prompt in another way once it is answered.
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    for name in ("prompt", "completion"):
        messages = example.get(name)
        if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
            columns = f"the columns {', '.join(example) or 'none'}"
            got = f"`{name}` as a {type(messages).__name__}" if name in example else columns
            raise DataError(
                f"{where}: expected `prompt` and `completion`, each a list of messages, and got "
                f"{got}"
            )
    ids, learned = _learned(example, tokenizer, where)
    if max_length is not None and len(ids) > max_length:
        said = f"has {len(ids)} tokens and the model takes {max_length}"
        raise DataError(f"{where}: {said}: shorten or remove the row")
    pairs = zip(ids, learned, strict=True)
    return {"input_ids": ids, "labels": [i if own else IGNORED for i, own in pairs]}


def _learned(
    example: Mapping[str, Any], tokenizer: Any, where: str
) -> tuple[list[int], list[bool]]:
    """Return the ids of a row, and which of them the loss is on."""
    messages: Sequence[Mapping[str, Any]] = [*example["prompt"], *example["completion"]]
    tools = None
    talk = conversation_of(example, where)
    if talk is not None:
        messages, tools = talk.messages, talk.tools
        if not talk.only_last:
            return trained_tokens(talk, tokenizer, where)
    prompt = rendered_ids(messages[:-1], tokenizer, generation=True, tools=tools)
    ids = rendered_ids(messages, tokenizer, generation=False, tools=tools)
    start = _shared(prompt, ids)
    if start < len(prompt) and _differs(messages[:-1], prompt, start, tokenizer, tools):
        if talk is None:  # The trainer would learn the end of the prompt with the answer.
            raise DataError(
                f"{where}: the chat template writes the prompt in another way once it is answered, "
                "so that the model is not asked as it was tuned: remove the row, or give another "
                "template with `chat_template=FILE.jinja`"
            )
        return trained_tokens(talk, tokenizer, where)
    return ids, [n >= start for n in range(len(ids))]


def _differs(
    asked: Sequence[Mapping[str, Any]],
    prompt: Sequence[int],
    start: int,
    tokenizer: Any,
    tools: Any,
) -> bool:
    """Tell whether words of a prompt, and not what opens the answer, differ once it is answered.

    Some templates leave thoughts out of the turns before an answer: all behind the first of them
    would be learned, whoever has said it.
    """
    try:
        plain = rendered_ids(asked, tokenizer, generation=False, tools=tools)
    except ModelError:  # It writes no question without opening an answer.
        return False
    opened = _shared(plain, [*prompt, -1])
    return bool(str(tokenizer.decode(list(prompt[start:opened]))).strip())


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


def _shared(prompt: Sequence[int], ids: Sequence[int]) -> int:
    """Return the length of the common prefix; at least one token of ``ids`` stays outside."""
    pairs = zip(prompt, ids[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
