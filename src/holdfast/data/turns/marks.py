"""Where the texts of messages stand in a rendered conversation, to the character.

The conversation is rendered once more with a word of ours at the ends of every text. Where the
rendering without these words is the very rendering of the conversation, the template has treated
them as text, and their places are exact.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from holdfast.data.rendering.rendered import Messages, Tools, rendered

__all__ = ["Located", "Mark", "located"]

Mark = tuple[int, str]
"""The place of a message, and which end of its text: open, close, reasoning or call."""
_BODY = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


@dataclass(frozen=True)
class Located:
    """A rendered conversation, and where in it each end of each text stands."""

    text: str
    places: Mapping[Mark, tuple[int, ...]]
    """Characters before the mark; a template may write a text twice, or not at all."""
    given: frozenset[Mark]
    """The ends that the messages have."""

    def of(self, message: int) -> list[int]:
        """Return all places of one message, in order."""
        return sorted(p for mark, found in self.places.items() for p in found if mark[0] == message)

    def last_of(self, message: int) -> tuple[Mark, int] | None:
        """Return the mark of a message that stands last in the text, with its place."""
        found = [(p[-1], mark) for mark, p in self.places.items() if mark[0] == message]
        return (max(found)[1], max(found)[0]) if found else None


def located(
    messages: Messages, tokenizer: Any, *, generation: bool, tools: Tools = None
) -> Located | None:
    """Return the rendering with its marks, None where marks change what the template writes.

    Raises:
        ModelError: The template refuses the messages.
    """
    text = rendered(messages, tokenizer, generation=generation, tools=tools)
    # A template may look at how an answer begins, so the second try leaves that alone.
    for opened in (lambda _: True, lambda message: message["role"] != "assistant"):
        name = _unused(text, messages)
        marked, given = _marked(messages, name, opened)
        found = rendered(marked, tokenizer, generation=generation, tools=tools)
        bare, places = _without(found, name)
        if bare == text:
            return Located(text, places, frozenset(given))
    return None


def _unused(text: str, messages: Messages) -> str:
    """Return the beginning of a word that is nowhere in the conversation."""
    said = text + str(messages)
    return next(word for n in range(10**6) if (word := f"hfq{n}x") not in said)


def _marked(
    messages: Messages, name: str, opened: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[dict[str, Any]], set[Mark]]:
    given: set[Mark] = set()

    def word(place: int, end: str) -> str:
        given.add((place, end))
        return f"{name}{end}{place}qz"

    made: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        one = deepcopy(dict(message))
        if isinstance(one["content"], str) and one["content"].strip():
            first = word(place, "open") if opened(message) else ""
            one["content"] = _around(one["content"], first, word(place, "close"))
        if isinstance(one.get("reasoning_content"), str) and one["reasoning_content"].strip():
            one["reasoning_content"] = _around(
                one["reasoning_content"], "", word(place, "reasoning")
            )
        for call in _functions(one):
            call["name"] = f"{call['name']}{word(place, 'call')}"
        made.append(one)
    return made, given


def _functions(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls: Sequence[Mapping[str, Any]] = message.get("tool_calls") or ()
    found = [call.get("function", call) for call in calls]
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("name"), str)]


def _around(text: str, first: str, last: str) -> str:
    """Put words around a text, inside the blanks around it: a template may trim those."""
    before, body, after = _BODY.fullmatch(text).groups()  # type: ignore[union-attr]
    return f"{before}{first}{body}{last}{after}"


def _without(text: str, name: str) -> tuple[str, dict[Mark, tuple[int, ...]]]:
    places: dict[Mark, tuple[int, ...]] = {}
    kept: list[str] = []
    at = length = 0
    for found in re.finditer(rf"{name}([a-z]+)(\d+)qz", text):
        kept.append(text[at : found.start()])
        length += found.start() - at
        at = found.end()
        mark = int(found[2]), found[1]
        places[mark] = (*places.get(mark, ()), length)
    return "".join([*kept, text[at:]]), places
