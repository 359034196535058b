"""A chat template is a program of the model's author: it must end, and show what it is given."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment, TemplateError, nodes

from holdfast.errors import ModelError
from holdfast.files.guarded.limits import TooLongError, time_limit

__all__ = ["TRAINING_TAG", "check_program", "check_template"]

MOST_NUMBER = 1_000_000
"""Largest number that a template may hold: a loop or a text of this size is no conversation."""
MOST_TEXT = 1_000_000
"""Characters that a template may make of one word."""
TRAINING_TAG = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""A tag of transformers' own, which plain Jinja does not know."""
WORDS = "first", "second"


def check_template(tokenizer: Any, shown: str) -> None:
    """Raise ``ModelError`` where the tokenizer's chat template is of no use or has no end.

    A template that refuses these conversations (some want a system message first) passes: rows
    that it refuses are named one by one.

    Args:
        tokenizer: One with a chat template.
        shown: What an error calls the model.
    """
    check_program(tokenizer, shown)
    for role, said in (("user", "prompts"), ("assistant", "answers")):
        one, other = (_rendered(tokenizer, shown, _asked(role, word)) for word in WORDS)
        if one is not None and one == other:
            raise ModelError(
                f"{shown}: its chat template leaves the {role}'s messages out: all {said} would "
                "be alike; give another one with `chat_template=FILE.jinja`"
            )


def check_program(tokenizer: Any, shown: str) -> None:
    """Raise ``ModelError`` where the template has no end, or writes another prompt each time.

    What it makes of a conversation is not asked: a judge's template ends in ways of its own.
    """
    source = tokenizer.chat_template
    if isinstance(source, str) and (wrong := next(_unusable(source), None)):
        raise ModelError(f"{shown}: its chat template has {wrong}: give a template without it")
    _rendered(tokenizer, shown, _asked("assistant", WORDS[0]))


def _asked(role: str, word: str) -> list[dict[str, str]]:
    """Return a conversation in which ``word`` is what the role says last."""
    question = {"role": "user", "content": word if role == "user" else WORDS[0]}
    return [question] if role == "user" else [question, {"role": role, "content": word}]


def _rendered(tokenizer: Any, shown: str, messages: Sequence[Mapping[str, str]]) -> str | None:
    """Return the text of a conversation, None where the template refuses it."""
    how = {"add_generation_prompt": messages[-1]["role"] == "user", "tokenize": False}
    try:
        with time_limit():
            text = str(tokenizer.apply_chat_template([dict(m) for m in messages], **how))
    except TooLongError as error:
        raise ModelError(f"{shown}: its chat template {error} for one word") from error
    except MemoryError as error:
        raise ModelError(f"{shown}: its chat template fills the memory for one word") from error
    except Exception:  # noqa: BLE001  # It may raise whatever it likes.
        return None
    if len(text) > MOST_TEXT:
        raise ModelError(f"{shown}: its chat template makes {len(text)} characters of one word")
    return text


def _unusable(source: str) -> Iterator[str]:
    """Yield what of a template cannot be stopped, or writes another prompt each time."""
    try:
        tree = Environment(  # noqa: S701  # It is only parsed.
            extensions=["jinja2.ext.loopcontrols"]
        ).parse(TRAINING_TAG.sub("", source))
    except (TemplateError, RecursionError):
        return  # Whoever renders it says what is wrong.
    drawn = [each for each in tree.find_all(nodes.Filter) if each.name == "random"]
    if drawn or any(each.name == "lipsum" for each in tree.find_all(nodes.Name)):
        yield "something that is drawn at random"
    for _ in tree.find_all(nodes.Pow):
        yield "a power (**)"
    for node in tree.find_all(nodes.Const):
        if isinstance(node.value, int) and abs(node.value) > MOST_NUMBER:
            yield f"the number {str(node.value)[:20]}, which is above {MOST_NUMBER}"
