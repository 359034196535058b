"""The tokens after which a model is probed: where its answer itself begins, behind any thinking."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.data.chat import encode_prompt
from holdfast.data.rendering.rendered import rendered
from holdfast.data.rendering.thinking import CLOSING, OPENING

__all__ = ["probe_ids"]

_MARK = "ANSWER"


def probe_ids(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> list[int]:
    """Return the ids of a conversation up to the first word of the answer.

    They are those of ``encode_prompt``, and behind them the closed block of thinking that the chat
    template writes in front of an answer, where it does.

    Raises:
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    prompt = rendered(messages, tokenizer, generation=True)
    answered = [*messages, {"role": "assistant", "content": _MARK}]
    before = rendered(answered, tokenizer, generation=False).rpartition(_MARK)[0]
    ids = encode_prompt(messages, tokenizer)
    block = before[len(prompt) :] if before.startswith(prompt) else ""
    if not CLOSING.search(block):
        block = _closing(prompt)
    return ids + list(tokenizer.encode(block, add_special_tokens=False)) if block else ids


def _closing(prompt: str) -> str:
    """Return what closes a block of thinking that the prompt itself has opened, else ""."""
    opened = [found.end() for found in OPENING.finditer(prompt)]
    if not opened or CLOSING.search(prompt, opened[-1]):
        return ""
    tag = list(OPENING.finditer(prompt))[-1].group()
    return f"\n{tag.replace('<', '</', 1)}\n\n" if tag.startswith("<") and "|" not in tag else ""
