"""What of a model's words is its answer: thinking is no part of it, and may never have ended."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.data.rendering.thinking import CLOSING, OPENING, may_be_text
from holdfast.data.rendering.turns import generation_prompt

__all__ = ["Replies", "Reply", "reply_of", "whole", "without_thoughts"]


@dataclass(frozen=True)
class Reply:
    """One generated answer."""

    text: str
    """The answer, without what the model thought before it."""
    thought: str = ""
    """What was said inside of thinking tags."""
    unfinished: bool = False
    """The thinking never ended, so that there is no answer."""
    cut: bool = False
    """It had not ended at the limit of tokens."""


def whole(text: str) -> str:
    r"""Return ``text`` with U+FFFD for each half of a surrogate pair, which no file can hold.

    JSON may hold one (``"\ud800"``): a server cuts an answer within a character.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def reply_of(text: str) -> Reply:
    """Return the reply in a text that another engine gave, its thinking taken out."""
    text = whole(text)
    if not (OPENING.search(text) or CLOSING.search(text)):
        return Reply(text)
    answer, thought, unfinished = without_thoughts(text)
    return Reply(answer.strip(), thought.strip(), unfinished)


class Replies:
    """Turns generated tokens into replies, for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._opening = _still_open(generation_prompt(tokenizer))
        named = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, named)) or r"(?!)")

    def of(self, tokens: Sequence[int], *, cut: bool) -> Reply:
        """Return the reply of the new tokens, its end token left out."""
        plain = str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()
        # Thinking tags may be special tokens, which plain text does not show.
        raw = self._opening + str(self._tokenizer.decode(tokens, skip_special_tokens=False))
        if not (OPENING.search(raw) or CLOSING.search(raw)):
            return Reply(plain, cut=cut)
        answer, thought, unfinished = without_thoughts(raw)
        return Reply(self._shown(answer), self._shown(thought), unfinished, cut)

    def _shown(self, text: str) -> str:
        return self._special.sub("", text).strip()


def without_thoughts(text: str) -> tuple[str, str, bool]:
    """Return (answer, thoughts, whether there is no answer because the thinking never ended).

    A closing tag without an opening one ends a thought that the prompt has opened.
    """
    answer, thoughts = "", ""
    while opened := OPENING.search(text):
        closed = CLOSING.search(text)
        if closed and closed.start() < opened.start():
            thoughts, answer, text = answer + text[: closed.start()], "", text[closed.end() :]
            continue
        answer, rest = answer + text[: opened.start()], text[opened.end() :]
        closed = CLOSING.search(rest)
        if closed is None and answer.strip() and may_be_text(opened.group()):
            answer, text = answer + opened.group(), rest
            continue
        if closed is None:
            return answer, thoughts + rest, not answer.strip()
        thoughts, text = thoughts + rest[: closed.start()], rest[closed.end() :]
    *before, last = CLOSING.split(text)
    if before:
        return last, thoughts + answer + "".join(before), False
    return answer + last, thoughts, False


def _still_open(prompt: str) -> str:
    """Return the thinking tag that a prompt leaves open, or ""."""
    opened = list(OPENING.finditer(prompt))
    if opened and not CLOSING.search(prompt, opened[-1].end()):
        return opened[-1].group()
    return ""
