"""What a model's chat template writes, seen by rendering conversations of our own."""

import hashlib
from dataclasses import dataclass
from typing import Any

from holdfast.data.rendering.dates import DATE, fix_date, is_dated
from holdfast.data.rendering.templates import check_template
from holdfast.data.rendering.thinking import CLOSING, OPENING
from holdfast.data.rendering.turns import check_turns, generation_prompt
from holdfast.errors import ModelError
from holdfast.evaluation.decoding import end_tokens
from holdfast.files.guarded.limits import TooLongError, time_limit

__all__ = ["Chat", "chat_of"]

_SYSTEM, _NOTE = {"role": "system", "content": "Be brief."}, "Be brief."
_TURNS = [
    {"role": "user", "content": "What is 2 plus 2?"},
    {"role": "assistant", "content": "It is 4."},
    {"role": "user", "content": "And 3 plus 3?"},
]


@dataclass(frozen=True)
class Chat:
    """A chat template, and what belongs to its turns."""

    sha256: str | None
    """Of the template's text; None where the tokenizer has none."""
    example: str
    """Two turns, and what opens the next answer, as the model reads them."""
    generation_prompt: str
    stops: tuple[str, ...]
    """Tokens that end an answer, with their ids."""
    system: str
    """What becomes of a system message."""
    thinking: str
    date: str
    fault: str
    """Why the template cannot be used; "" where it can."""


def chat_of(model: Any, tokenizer: Any, shown: str) -> Chat:
    """Return what can be said of the tokenizer's chat template; one that fails is no error."""
    template = tokenizer.chat_template
    stops = tuple(_token(tokenizer, n) for n in sorted(end_tokens(model.generation_config)))
    if not template:
        return Chat(None, "", "", stops, "", "", "", "there is none: give `chat_template`")
    text = template if isinstance(template, str) else repr(sorted(template.items()))
    date = f"written: fixed to {DATE:%Y-%m-%d}" if is_dated(template) else "not written"
    fix_date(tokenizer)
    try:
        check_template(tokenizer, shown)
        check_turns(tokenizer, shown)
        fault = ""
    except ModelError as error:
        fault = str(error).removeprefix(f"{shown}: ")
    rendered, opens = _rendered(tokenizer, _TURNS), generation_prompt(tokenizer)
    return Chat(
        hashlib.sha256(text.encode()).hexdigest(),
        rendered or "",
        opens,
        stops,
        _system(tokenizer, rendered),
        _thinking(text, opens),
        date,
        fault if fault or rendered is not None else "it refuses two turns of user and assistant",
    )


def _system(tokenizer: Any, without: str | None) -> str:
    """Return what the template does with a system message."""
    given = _rendered(tokenizer, [_SYSTEM, *_TURNS])
    if given is None:
        return "refused by the template"
    if _NOTE not in given:
        return "left out"
    own = without is not None and given.endswith(without.lstrip())
    begun = given.partition(_NOTE)[0]
    question = _TURNS[0]["content"]
    inside = without is not None and begun == without.partition(question)[0]
    return "put into the first question" if inside and not own else "a turn of its own"


def _thinking(template: str, opens: str) -> str:
    """Return whether answers begin with, or may hold, a block of thinking."""
    if OPENING.search(opens):
        closed = CLOSING.search(opens) is not None
        return "opened and closed in front of each answer" if closed else "opened by the prompt"
    return "known to the template" if OPENING.search(template) else "none"


def _rendered(tokenizer: Any, turns: list[dict[str, str]]) -> str | None:
    try:
        with time_limit():
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TooLongError:
        return None
    except Exception:  # noqa: BLE001  # A template is a program of the model's author.
        return None
    return str(text)


def _token(tokenizer: Any, number: int) -> str:
    return f"{tokenizer.decode([number])} ({number})"
