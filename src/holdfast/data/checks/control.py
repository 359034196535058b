"""``control``: text that a tokenizer reads as turns, turn marks of other templates, hidden marks.

A fake turn in an answer is learned as the assistant's. Zero-width and bidirectional marks hide
words from a reader and from filters; joiners inside scripts and emoji that need them are ordinary.
"""

import re
import unicodedata
from collections.abc import Iterator

from holdfast.data.checks.protocol import Check, Context, Finding, Row, Rows, Span
from holdfast.data.checks.texts import messages_of
from holdfast.data.rendering.control_tokens import ControlTokens
from holdfast.data.rendering.thinking import is_thinking_tag

__all__ = ["CONTROL", "hidden_marks"]

_MARKS = re.compile(
    r"<\|(?:im_start|im_end|im_sep|eot_id|eom_id|start_header_id|end_header_id|begin_of_text|"
    r"end_of_text|endoftext|system|user|assistant|end|channel|message|start|return)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<\|(?:START|END)_OF_TURN_TOKEN\|>"
    r"|^(?:Human|Assistant|USER|ASSISTANT|### (?:Instruction|Response|Human|Assistant)):",
    re.MULTILINE,
)
_HIDDEN = re.compile(
    "[\u200b\u200c\u200d\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069\U000e0001-\U000e007f]"
)
_JOINERS = "\u200c\u200d"
_JOINED = ("ARABIC", "DEVANAGARI", "BENGALI", "GUJARATI", "GURMUKHI", "KANNADA", "MALAYALAM",
           "ORIYA", "SINHALA", "TAMIL", "TELUGU", "KHMER", "MYANMAR", "MONGOLIAN")  # fmt: skip
"""Scripts in which joiners belong to the spelling."""


def _find(rows: Rows, context: Context) -> list[Finding]:
    look = None if context.tokenizer is None else ControlTokens(context.tokenizer)
    return [each for row in rows for each in _of(row, look)]


def _of(row: Row, look: ControlTokens | None) -> Iterator[Finding]:
    number = row["row"]
    for place, message in enumerate(messages_of(row)):
        text = message["content"]
        own = {w for w in look.within(text) if not is_thinking_tag(w)} if look and text else set()
        if own:
            start = min(max(text.find(word), 0) for word in own)
            said = f"holds {len(own)} control tokens of the model: read as turns, and learned"
            yield Finding("control", number, said, "refuse", "drop", Span(place, start, len(text)))
        elif (mark := _MARKS.search(text)) is not None:
            said = "holds turn marks of another chat template"
            yield Finding("control", number, said, "warn", "review", Span(place, *mark.span()))
        if (hidden := next(hidden_marks(text), None)) is not None:
            said = "holds zero-width or bidirectional marks, which no reader sees"
            yield Finding(
                "control", number, said, "warn", "review", Span(place, hidden, hidden + 1)
            )


def hidden_marks(text: str) -> Iterator[int]:
    """Yield where marks stand that no reader sees and that no spelling needs."""
    if text.isascii():
        return
    for found in _HIDDEN.finditer(text):
        at = found.start()
        if text[at] in _JOINERS and _is_joined(text, at):
            continue
        if at == 0 and text[at] == "\ufeff":  # The mark of a file's encoding.
            continue
        yield at


def _is_joined(text: str, at: int) -> bool:
    """Tell whether a joiner stands between signs of an emoji, or letters that join."""
    around = text[max(at - 2, 0) : at] + text[at + 1 : at + 2]
    kinds = {unicodedata.category(each) for each in around}
    names = [unicodedata.name(each, "") for each in around]
    return bool(kinds & {"So", "Sk"}) or any(name.startswith(_JOINED) for name in names)


CONTROL = Check("control", "fake turns, and marks that no reader sees", _find)
