"""Rows as token ids with labels, for trainers that would learn the last answer of each alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, Value

from holdfast.data.chat import encode
from holdfast.data.turns.conversation import Turns, with_turns
from holdfast.data.turns.masked import MASKED, without_loss

__all__ = ["has_conversations", "rows_with_turns", "tokenized"]

Rows = Sequence[Mapping[str, Any]] | Dataset


def has_conversations(rows: Rows) -> bool:
    """Tell whether a row is a whole conversation, or has segments that are not learned."""
    if isinstance(rows, Dataset):
        held = [name for name in ("rich", MASKED) if name in rows.column_names]
        return any(one is not None for name in held for one in rows[name])
    return any(row.get("rich") is not None or row.get(MASKED) is not None for row in rows)


def rows_with_turns(rows: Dataset, turns: Turns) -> Dataset:
    """Return the rows with all, or only the last, of the assistant's turns to learn."""
    each: Any = rows
    found = [with_turns(row, turns) for row in each]
    if not any(found):
        return rows
    bare = rows.remove_columns([name for name in ("rich",) if name in rows.column_names])
    return bare.add_column("rich", found, feature=Value("string"))  # type: ignore[call-arg]


def tokenized(rows: Rows, tokenizer: Any, name: str, *, whole: bool = False) -> Dataset:
    """Return ``input_ids`` and ``labels`` of each row, uncut; the loss is on the assistant's turns.

    For a row that is a prompt and an answer they are those of TRL's own preparation, bit for bit.

    Args:
        rows: Examples.
        tokenizer: A Hugging Face tokenizer with a chat template.
        name: What an error calls the rows.
        whole: The loss is on every token, as ``completion_only_loss=False`` asks.

    Raises:
        DataError: The turns of a row cannot be told apart.
        ModelError: The template refuses a row.
    """
    made: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    each: Any = rows
    for number, row in enumerate(each, start=1):
        where = f"{name}, row {row.get('row') or number}"
        found = encode(row, tokenizer, None, where=where)
        labels = found["input_ids"] if whole else found["labels"]
        made["input_ids"].append(found["input_ids"])
        made["labels"].append(without_loss(row, found["input_ids"], labels, tokenizer, where))
    return Dataset.from_dict(made)
