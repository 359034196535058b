"""Which characters of a rendered conversation are an assistant's turn, with the proof.

A turn begins where the model would begin to answer: behind what the template writes after the
message before it and to open an answer. It ends with what the template writes to end it. Both are
taken from renderings of the conversation's beginnings and looked up from the exact places of texts,
so a template that drops old thoughts, or writes tools before the last question, is no hindrance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.data.rendering.rendered import rendered
from holdfast.data.turns.conversation import Conversation
from holdfast.data.turns.marks import Located, located

__all__ = ["Span", "UnprovenError", "spans_of"]


class UnprovenError(Exception):
    """The turns of a conversation cannot be told apart; says why."""


@dataclass(frozen=True)
class Span:
    """One turn of the assistant: characters [start, end) of the text."""

    message: int
    start: int
    end: int


def spans_of(
    conversation: Conversation, tokenizer: Any, turn_end: str
) -> tuple[Located, list[Span]]:
    """Return the rendered conversation, and its trained turns in order.

    Args:
        conversation: With at least one trained turn.
        tokenizer: One with a chat template.
        turn_end: The text of the token that ends a turn, "" where there is none.

    Raises:
        UnprovenError: What is trained cannot be shown to be those turns, and they alone.
        ModelError: The template refuses the conversation, or a beginning of it.
    """
    whole = _located(conversation, len(conversation.messages), tokenizer, generation=False)
    spans = [_span(conversation, n, whole, tokenizer, turn_end) for n in conversation.trained]
    _prove(whole, spans)
    return whole, spans


def _located(
    conversation: Conversation, count: int, tokenizer: Any, *, generation: bool
) -> Located:
    messages, tools = conversation.messages[:count], conversation.tools
    found = located(messages, tokenizer, generation=generation, tools=tools)
    if found is None:
        raise UnprovenError("it writes a text in another way when a word is added to it")
    return found


def _span(
    conversation: Conversation, turn: int, whole: Located, tokenizer: Any, turn_end: str
) -> Span:
    if turn == 0:
        raise UnprovenError("the assistant speaks first")
    asked = _located(conversation, turn, tokenizer, generation=True)
    start = _start(conversation, turn, whole, asked, tokenizer)
    if turn == len(conversation.messages) - 1:
        return Span(turn, start, len(whole.text))
    said = _located(conversation, turn + 1, tokenizer, generation=False)
    own, there = whole.last_of(turn), said.last_of(turn)
    if own is None or there is None or own[0] != there[0]:
        raise UnprovenError(f"it leaves out what message {turn + 1} says")
    suffix = said.text[there[1] :]
    rest = whole.text[own[1] :]
    shared = _shared(suffix, rest)
    if suffix[shared:].strip():
        shared = _to_token(suffix, shared, tokenizer)
        if not _closes_all(suffix, shared, conversation, turn, tokenizer):
            raise UnprovenError(f"it ends message {turn + 1} in another way when more follows")
    end = own[1] + shared
    # Some templates end only those turns that another one follows.
    if turn_end and turn_end not in whole.text[own[1] : end]:
        following = whole.text[end:]
        if following.lstrip().startswith(turn_end):
            end += following.index(turn_end) + len(turn_end)
    return Span(turn, start, end)


def _to_token(text: str, at: int, tokenizer: Any) -> int:
    """Return the first character of the token that a place is in: two ends begin with one ``<``."""
    if not getattr(tokenizer, "is_fast", False):
        return at
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return max((a for a, b in found["offset_mapping"] if a <= at < b), default=at)


def _closes_all(
    suffix: str, shared: int, conversation: Conversation, turn: int, tokenizer: Any
) -> bool:
    """Tell whether the rest of a suffix ends every text, whoever spoke last, and no turn.

    Phi-3's template writes the end of sequence so, behind the token that ends the turn.
    """
    asked = conversation.messages[:turn]
    plain = rendered(asked, tokenizer, generation=False, tools=conversation.tools)
    return bool(suffix[:shared].strip()) and plain.endswith(suffix[shared:])


def _start(
    conversation: Conversation, turn: int, whole: Located, asked: Located, tokenizer: Any
) -> int:
    """Return where turn begins: behind the message before it and what opens an answer."""
    own, there = whole.last_of(turn - 1), asked.last_of(turn - 1)
    if own is not None and there is not None and own[0] == there[0]:
        at, tail = own[1], asked.text[there[1] :]
    else:  # The template leaves the message before out: then all before it must be alike.
        at, tail = 0, asked.text
    shared = _shared(tail, whole.text[at:])
    if tail[shared:].strip():
        plain = rendered(
            conversation.messages[:turn], tokenizer, generation=False, tools=conversation.tools
        )
        opening = len(asked.text) - len(plain) if asked.text.startswith(plain) else 0
        # Something of what opens an answer must stand there, and all that ends the one before.
        if not opening or len(tail) - shared >= opening:
            raise UnprovenError(f"it opens message {turn + 1} in another way than an answer")
    return at + shared


def _prove(whole: Located, spans: Sequence[Span]) -> None:
    """Raise unless each turn holds all of its own texts, and nothing of another message."""
    before = 0
    for span in spans:
        if not before <= span.start < span.end <= len(whole.text):
            raise UnprovenError("its turns overlap")
        before = span.end
        if not whole.of(span.message):
            raise UnprovenError(f"it leaves out what message {span.message + 1} says")
        if any(not span.start <= p <= span.end for p in whole.of(span.message)):
            raise UnprovenError(f"it writes message {span.message + 1} in two places")
        for mark, places in whole.places.items():
            if mark[0] != span.message and any(span.start < p < span.end for p in places):
                raise UnprovenError(
                    f"message {mark[0] + 1} stands inside of message {span.message + 1}"
                )


def _shared(one: str, other: str) -> int:
    """Return the length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
