"""Rows as a model reads them in training: token ids, and which of them the loss is on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from holdfast.data.chat import encode, encode_prompt
from holdfast.data.turns.conversation import Turns, with_turns
from holdfast.errors import DataError, ModelError
from holdfast.ops.batches import IGNORED

__all__ = ["Encoded", "encoded", "pieces"]


@dataclass(frozen=True)
class Encoded:
    """A row's tokens."""

    row: int
    ids: tuple[int, ...]
    trained: tuple[bool, ...]


def encoded(
    rows: Sequence[Mapping[str, Any]], tokenizer: Any, name: str, turns: Turns = "all"
) -> tuple[list[Encoded], dict[int, str]]:
    """Return the tokens of each row, and why each of the others has none.

    Prompts without an answer are as a model sees them that is about to answer: nothing is trained.
    """
    found: list[Encoded] = []
    refused: dict[int, str] = {}
    for row in rows:
        where = f"{name}, row {row['row']}"
        try:
            found.append(_encoded(row, tokenizer, where, turns))
        except (DataError, ModelError) as error:
            refused[row["row"]] = str(error).removeprefix(f"{where}: ")
    return found, refused


def _encoded(row: Mapping[str, Any], tokenizer: Any, where: str, turns: Turns) -> Encoded:
    if not row["completion"]:
        ids = encode_prompt(row["prompt"], tokenizer)
        return Encoded(row["row"], tuple(ids), (False,) * len(ids))
    made = encode({**row, "rich": with_turns(row, turns)}, tokenizer, None, where=where)
    trained = tuple(label != IGNORED for label in made["labels"])
    return Encoded(row["row"], tuple(made["input_ids"]), trained)


def pieces(row: Encoded, tokenizer: Any) -> list[tuple[str, bool]]:
    """Return the text of a row in order, each piece with whether it is trained."""
    pairs = zip(row.ids, row.trained, strict=True)
    return [
        (str(tokenizer.decode([token for token, _ in run], skip_special_tokens=False)), trained)
        for trained, run in groupby(pairs, key=lambda pair: pair[1])
    ]
