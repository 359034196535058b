"""From a conversation to token ids and labels: the loss is on the assistant's turns alone."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from holdfast.data.rendering.rendered import rendered_ids
from holdfast.data.rendering.templates import TRAINING_TAG
from holdfast.data.rendering.turns import turn_ends
from holdfast.data.turns.conversation import Conversation
from holdfast.data.turns.marks import Located
from holdfast.data.turns.spans import Span, UnprovenError, spans_of
from holdfast.errors import DataError

__all__ = ["trained_tokens"]

_LAST_ALONE = "train the last answer alone with `turns=last`"


def trained_tokens(
    conversation: Conversation, tokenizer: Any, where: str
) -> tuple[list[int], list[bool]]:
    """Return the ids of the whole conversation, and which of them are learned.

    Every trained turn is learned with the token that ends it. That these tokens are the turns, and
    nothing else is, is shown on the rendered text and by decoding them.

    Args:
        conversation: With at least one trained turn.
        tokenizer: A Hugging Face tokenizer with a chat template.
        where: What an error calls the row, such as ``"train.jsonl, row 3"``.

    Raises:
        DataError: It cannot be shown.
        ModelError: The template refuses the conversation.
    """
    ends = turn_ends(tokenizer)
    try:
        word = str(tokenizer.convert_ids_to_tokens(ends[0])) if ends else ""
        located, spans = spans_of(conversation, tokenizer, word)
        ids, offsets = _tokens(conversation, located, tokenizer)
        learned = [False] * len(ids)
        tagged = _tagged(conversation, tokenizer)
        # Some tokenizers forget something of any text; the characters are known anyhow.
        decodes = _plain(_decoded(ids, tokenizer)) == _plain(located.text)
        for span in spans:
            own = _inside(span, offsets)
            own = [n for n in own if n in tagged or ids[n] in ends] if tagged else own
            chosen = [ids[n] for n in own]
            _check_end(chosen, span, ends)
            if decodes:
                _check_text(chosen, span, located.text, tokenizer, part=bool(tagged))
            for n in own:
                learned[n] = True
    except UnprovenError as error:
        last = "remove the row, or give another template with `chat_template=FILE.jinja`"
        way_out = last if conversation.only_last else _LAST_ALONE
        raise DataError(
            f"{where}: the chat template renders this conversation so that the assistant's turns "
            f"cannot be told from the rest: {error}: {way_out}"
        ) from error
    return ids, learned


def _tokens(
    conversation: Conversation, located: Located, tokenizer: Any
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return ids, and the characters of each; the ids are those of the template's own rendering."""
    messages, tools = conversation.messages, conversation.tools
    ids = rendered_ids(messages, tokenizer, generation=False, tools=tools)
    if not getattr(tokenizer, "is_fast", False):
        raise UnprovenError("its tokenizer does not say which characters a token holds")
    found = tokenizer(located.text, add_special_tokens=False, return_offsets_mapping=True)
    if list(found["input_ids"]) != ids:
        raise UnprovenError("its tokens are not those of its text")
    return ids, [tuple(pair) for pair in found["offset_mapping"]]


def _inside(span: Span, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the tokens that hold a character of the turn."""
    return [n for n, (a, b) in enumerate(offsets) if a < span.end and b > span.start and b > a]


def _tagged(conversation: Conversation, tokenizer: Any) -> set[int]:
    """Return the tokens that the template itself calls the assistant's, by its generation tags."""
    if TRAINING_TAG.search(str(tokenizer.chat_template)) is None:
        return set()
    found = tokenizer.apply_chat_template(
        list(conversation.messages),
        tools=list(conversation.tools) if conversation.tools else None,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return {n for n, own in enumerate(found["assistant_masks"]) if own}


def _check_end(chosen: Sequence[int], span: Span, ends: Sequence[int]) -> None:
    """Raise unless the turn has tokens, its end among them."""
    if not chosen:
        raise UnprovenError(f"message {span.message + 1} has no token")
    if ends and not set(ends) & set(chosen):
        raise UnprovenError(f"message {span.message + 1} has no end")


def _check_text(
    chosen: Sequence[int], span: Span, text: str, tokenizer: Any, *, part: bool
) -> None:
    """Raise unless the tokens decode to the turn, or to the part of it that the template tags."""
    said, wanted = _plain(_decoded(chosen, tokenizer)), _plain(text[span.start : span.end])
    if not (said in wanted if part else said.endswith(wanted)):
        raise UnprovenError(
            f"the tokens of message {span.message + 1} say something else than it does"
        )


def _decoded(ids: Sequence[int], tokenizer: Any) -> str:
    how = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    return str(tokenizer.decode(list(ids), **how))


def _plain(text: str) -> str:
    """Return a text as decoding keeps it: tokenizers add blanks, and normalize letters."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))
