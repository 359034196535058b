"""Pairs of a chosen and a rejected answer, as DPO has them: the chosen one is the answer."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.conversation import conversation, unpacked
from holdfast.data.shapes.message import Message, messages_in
from holdfast.data.shapes.pairs import pair
from holdfast.data.shapes.protocol import Shape, column_in, columns_in
from holdfast.data.shapes.texts import is_blank, kind_of
from holdfast.data.shapes.transcript import is_transcript, turns_of
from holdfast.errors import DataError

__all__ = ["OPENAI_PREFERENCES", "PREFERENCES"]

_PROMPTS = ("prompt", "question", "instruction", "query", "input")
CHOSEN = "the chosen answers are the answers: the rejected ones are not trained on"


def _columns(values: Mapping[str, Any]) -> dict[str, str] | None:
    found = columns_in(values, completion="chosen", rejected="rejected")
    if found is None:
        return None
    asked = next((c for name in _PROMPTS if (c := column_in(values, name)) is not None), None)
    return found if asked is None else {"prompt": asked, **found}


def _messages(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    """Return the prompt and the chosen answer; ``chosen`` may hold the whole conversation."""
    chosen = columns.get("completion") or column_in(row.values, "chosen") or ""
    row = unpacked(row, {**columns, "completion": chosen})
    value = row.values.get(chosen)
    if is_transcript(value):
        return _up_to(turns_of(value, row, chosen), columns)
    if "prompt" in columns and is_transcript(row.values[columns["prompt"]]):
        return _after_transcript(row, columns)
    if "prompt" in columns and not (isinstance(value, list) and len(value) > 1):
        return pair(row, columns)
    if not isinstance(value, list):
        said = f"{chosen!r} is {kind_of(value)} and there is no column 'prompt'"
        raise DataError(f"{row.place}: {said}: give the prompt, or whole conversations")
    talk = conversation(row, chosen)
    return _behind(row, columns, talk) if "prompt" in columns else _up_to(talk, columns)


def _up_to(messages: list[Message], columns: Mapping[str, str]) -> list[Message]:
    """Return a conversation; without its answer where none is asked for."""
    return messages if "completion" in columns else messages[:-1]


def _behind(row: RawRow, columns: Mapping[str, str], talk: list[Message]) -> list[Message]:
    """Return the conversation of a prompt and a chosen one that holds it, or goes on from it."""
    name = columns["prompt"]
    whole = any(message["role"] == "user" for message in talk)
    if whole and not isinstance(row.values[name], list):
        return _up_to(talk, columns)
    asked = pair(row, {"prompt": name})
    if not whole:  # Calls of tools, what these return, and the answer.
        return [*asked, *talk] if "completion" in columns else asked
    return _up_to([*_ahead(asked, talk, row, name), *talk], columns)


def _ahead(asked: list[Message], talk: list[Message], row: RawRow, name: str) -> list[Message]:
    """Return what of a prompt stands before a conversation, which holds its end or all of it.

    Raises:
        DataError: It holds nothing of the prompt.
    """
    first, second = ([(m["role"], m["content"].strip()) for m in each] for each in (asked, talk))
    size = len(first)
    if any(second[n : n + size] == first for n in range(len(second))):
        return []
    shared = next((n for n in range(size - 1, 0, -1) if first[-n:] == second[:n]), 0)
    if not shared:
        said = f"the chosen conversation does not hold the messages of {name!r}"
        raise DataError(f"{row.place}: {said}: let it begin with them, or with the answer to them")
    return asked[:-shared]


def _after_transcript(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    """Return the answer behind a prompt that is a transcript."""
    name = columns["prompt"]
    asked = turns_of(row.values[name], row, name)
    # A blank stands between the speaker's name and the words.
    answer = [{**said, "content": said["content"].strip()} for said in pair(row, columns)[1:]]
    return [*asked, *answer]


def _openai_columns(values: Mapping[str, Any]) -> dict[str, str] | None:
    found = columns_in(
        values, prompt="input", completion="preferred_output", rejected="non_preferred_output"
    )
    return found if isinstance(values.get("input"), Mapping) else None


def _openai_messages(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    given = row.values[columns["prompt"]]
    asked = given.get("messages") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and not is_blank(given.get("tools")):
        said = f"{columns['prompt']!r} holds tools: put them into a column 'tools' of the row"
        raise DataError(f"{row.place}: {said}")
    prompt = messages_in(asked, f"'messages' of {columns['prompt']!r}", row)
    return [*prompt, *(conversation(row, columns["completion"]) if "completion" in columns else [])]


PREFERENCES = Shape(
    "preferences", "a prompt, a chosen and a rejected answer", _columns, _messages, note=CHOSEN
)
OPENAI_PREFERENCES = Shape(
    "openai_preferences", "an input of messages, a preferred output and another",
    _openai_columns, _openai_messages, note=CHOSEN,
)  # fmt: skip
