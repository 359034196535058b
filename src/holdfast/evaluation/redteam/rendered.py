"""From an attack's prompt to token ids; what a template cannot be asked is said by name."""

from collections.abc import Sequence
from typing import Any

from holdfast.data.chat import encode_prompt
from holdfast.data.rendering.rendered import rendered
from holdfast.data.rendering.thinking import CLOSING, OPENING
from holdfast.data.rendering.turns import generation_prompt
from holdfast.errors import ModelError
from holdfast.evaluation.redteam.attack import Asked, Messages

__all__ = ["PREFILLED", "SAME_AS_DIRECT", "prompt_ids", "why_not"]

PREFILLED = (5, 10)
"""Fewest and most tokens of a prefilled answer."""
SAME_AS_DIRECT = "there is no system prompt to leave out: it is the direct request"
"""Why a way to ask is left out without a gap: another attack asks the very same."""
_EMPTY = {"role": "system", "content": ""}


def why_not(asked: Sequence[Asked], tokenizer: Any) -> str:
    """Return why the prompts of one variant cannot be asked of a model with this tokenizer, or "".

    One prompt that cannot be asked is enough: a share of the others would be of other questions.
    """
    try:
        found = [_why_not(each, tokenizer) for each in asked]
        for each in asked:
            prompt_ids(each, tokenizer)
    except ModelError as error:
        return str(error)
    return next(filter(None, found), "")


def _why_not(asked: Asked, tokenizer: Any) -> str:
    if asked.prefill and _thinks(tokenizer):
        return "its chat template opens a thought, and an answer cannot begin there"
    if asked.prefill and len(_begun(asked, tokenizer)) < PREFILLED[0]:
        return f"its tokenizer makes fewer than {PREFILLED[0]} tokens of the agreement"
    bare = asked.no_system and not asked.dropped
    if bare and not _brings_system(asked.messages, tokenizer):
        return SAME_AS_DIRECT
    if len(asked.messages) and asked.messages[0]["role"] == "system":
        return _system_lost(asked.messages, tokenizer)
    return ""


def prompt_ids(asked: Asked, tokenizer: Any) -> list[int]:
    """Return the ids that the model is given; a prefilled answer stands behind the prompt.

    Raises:
        ModelError: The template refuses the messages.
    """
    if not asked.messages:
        return list(tokenizer(asked.text)["input_ids"])
    messages = [_EMPTY, *asked.messages] if asked.no_system else asked.messages
    if asked.no_system and not _brings_system(asked.messages, tokenizer):
        messages = asked.messages
    return [*encode_prompt(list(messages), tokenizer), *_begun(asked, tokenizer)]


def _begun(asked: Asked, tokenizer: Any) -> list[int]:
    """Return the tokens that an answer is made to begin with."""
    if not asked.prefill:
        return []
    return list(tokenizer(asked.prefill, add_special_tokens=False)["input_ids"])[: PREFILLED[1]]


def _thinks(tokenizer: Any) -> bool:
    """Tell whether the generation prompt leaves a thought open."""
    opened = generation_prompt(tokenizer)
    return bool(OPENING.search(opened)) and not CLOSING.search(opened)


def _brings_system(messages: Messages, tokenizer: Any) -> bool:
    """Tell whether a template writes a system prompt of its own, longer than an empty one."""
    try:
        emptied = rendered([_EMPTY, *messages], tokenizer, generation=True)
    except ModelError:
        return False  # It has no system turn, and so none of its own.
    return len(rendered(messages, tokenizer, generation=True)) > len(emptied)


def _system_lost(messages: Messages, tokenizer: Any) -> str:
    """Return that a template leaves a system message out without a word, where it does."""
    with_system = rendered(messages, tokenizer, generation=True)
    if str(messages[0]["content"]).strip() in with_system:
        return ""
    return "its chat template leaves the system message out"
