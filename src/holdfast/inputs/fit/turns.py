"""What the model's chat template leaves out of the conversations to learn."""

from collections.abc import Iterable
from typing import Any

from holdfast.data.notices import Notice
from holdfast.data.turns.conversation import conversation_of
from holdfast.data.turns.dropped import dropped
from holdfast.inputs.rows import Source

__all__ = ["turn_notes"]


def turn_notes(sources: Iterable[Source], tokenizer: Any) -> list[str]:
    """Return what the chat template leaves out of conversations, by file.

    Raises:
        DataError: A weight is neither 0 nor 1, or no turn of a row is learned.
    """
    return [
        f"{each.role}: {each.path}: {told}" for each in sources for told in _of(each, tokenizer)
    ]


def _of(each: Source, tokenizer: Any) -> list[Notice]:
    rows: Any = each.rows
    lost: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=1):
        name = row.get("row") or number
        talk = conversation_of(row, f"{each.path}, row {name}")
        for what in dropped(talk, tokenizer) if talk is not None else ():
            lost.setdefault(what, []).append(name)
    return [
        Notice(
            f"the chat template leaves out {what} in {len(found)} of {len(rows)} rows: it is not "
            "learned", tuple(found)
        )
        for what, found in sorted(lost.items())
    ]  # fmt: skip
