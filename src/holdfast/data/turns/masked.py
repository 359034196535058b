"""Segments of a row that are read and not learned: their tokens have no label.

A row's column ``masked`` is JSON: a list of ``[message, start, end]``, characters of a message.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast.data.turns.conversation import conversation_of
from holdfast.data.turns.marks import Located, located
from holdfast.errors import DataError
from holdfast.ops.batches import IGNORED

__all__ = ["MASKED", "without_loss"]

MASKED = "masked"


def without_loss(
    row: Mapping[str, Any], ids: Sequence[int], labels: Sequence[int], tokenizer: Any, where: str
) -> list[int]:
    """Return the labels, ``-100`` on every token that holds a character of a masked segment.

    Raises:
        DataError: It cannot be shown which tokens these are, or nothing of the row is left.
    """
    text = row.get(MASKED)
    if text is None:
        return list(labels)
    talk = conversation_of(row, where)
    messages: Sequence[Any] = (
        [*row["prompt"], *row["completion"]] if talk is None else talk.messages
    )
    found = located(
        messages, tokenizer, generation=False, tools=None if talk is None else talk.tools
    )
    offsets = None if found is None else _offsets(found, ids, tokenizer)
    if found is None or offsets is None:
        raise DataError(
            f"{where}: its segments to mask cannot be told apart in tokens: drop the row"
        )
    spans = [span for one in json.loads(text) for span in _places(found, messages, one, where)]
    held = [any(a < end and b > start for start, end in spans) for a, b in offsets]
    left = [IGNORED if own else label for own, label in zip(held, labels, strict=True)]
    if all(label == IGNORED for label in left):
        raise DataError(f"{where}: nothing is left to learn behind what is masked: drop the row")
    return left


def _offsets(found: Located, ids: Sequence[int], tokenizer: Any) -> list[tuple[int, int]] | None:
    """Return the characters of each token, None where the tokens are not those of the text."""
    if not getattr(tokenizer, "is_fast", False):
        return None
    made = tokenizer(found.text, add_special_tokens=False, return_offsets_mapping=True)
    return list(made["offset_mapping"]) if list(made["input_ids"]) == list(ids) else None


def _places(
    found: Located, messages: Sequence[Mapping[str, Any]], span: Sequence[int], where: str
) -> Iterator[tuple[int, int]]:
    """Yield where a segment stands in the rendered text, shown by the text itself."""
    message, start, end = span
    content = str(messages[message]["content"])
    end = min(end, len(content))
    wanted = content[start:end].strip()
    for close in found.places.get((message, "close"), ()):
        base = close - len(content.rstrip())
        if found.text[base + start : base + end].strip() == wanted:
            yield base + start, base + end
            return
    raise DataError(f"{where}: a segment to mask is not in the rendered row: drop the row")
