"""What stands in a file and is not read: told once, or refused where a row means another thing."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from holdfast.data.formats import RawRow
from holdfast.data.shapes.conversation import FIELDS
from holdfast.data.shapes.message import READ
from holdfast.data.shapes.reader import EFFECTLESS
from holdfast.data.shapes.texts import few, is_blank
from holdfast.errors import DataError

__all__ = ["Unread", "refuse_rich"]

WEIGHTS = ("weight", "weights", "loss_weight", "sample_weight")
LEARNED = ("loss", "train", "training")
"""Fields of a message by which other tools leave its turn unlearned."""
CALLS = ("tool_calls", "function_call")


class Unread:
    """Looks at every row of one file."""

    def __init__(self) -> None:
        self._rows = 0
        self._columns: Counter[str] = Counter()
        self._beside: tuple[str, ...] = ()

    def see(self, row: RawRow, read: frozenset[str]) -> None:
        """Look at a row and the columns that were read of it.

        Raises:
            DataError: The row has a weight other than 1, a turn that is not to be learned, or calls
                of tools beside its messages: to leave them out would train on something else.
        """
        self._rows += 1
        self._beside = row.beside
        held = [*_held(row.values, read)]
        for name, value in held:
            _refuse(row, name, value)
        self._columns.update(dict(held).keys())  # In the order of the file.

    def notes(self) -> list[str]:
        """Return a sentence on what is not read, if there is anything."""
        told = [f"{name} ({count} of {self._rows} rows)" for name, count in self._named()]
        columns = [f"not read: {few(told, longest=100)}"] if told else []
        beside = [f"not read beside the rows: {few(self._beside)}"] if self._beside else []
        return [*columns, *beside]

    def _named(self) -> Iterator[tuple[str, int]]:
        yield from ((few([name]), count) for name, count in self._columns.items())


def refuse_rich(examples: Iterable[Mapping[str, Any]], path: str) -> list[str]:
    """Return what of rich rows is not used where the prompt and the answer alone are.

    Raises:
        DataError: A row has calls of tools or a weight of 0, without which it is another one.
    """
    dropped: Counter[str] = Counter()
    for example in examples:
        rich = json.loads(example.get("rich") or '{"messages": []}')
        fields = {name for message in rich["messages"] for name in message}
        if wrong := fields & {"tool_calls", "weight"}:
            said = f"has {' and '.join(sorted(wrong))} in its messages, which are not used here"
            raise DataError(f"{path}, row {example['row']}: {said}: remove the row")
        dropped.update(sorted(fields & {"reasoning_content"}), tools=int(bool(rich.get("tools"))))
    told = ", ".join(f"{name} ({count} rows)" for name, count in dropped.items() if count)
    return [f"not read: {told}"] if told else []


def _held(values: Mapping[str, Any], read: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Yield what has a value and is not read: columns, and fields of messages."""
    for name, value in values.items():
        if name not in read and not is_blank(value):
            yield name, value
        elif name in read and isinstance(value, list):
            fields = [f for each in value for f in _fields(each)]
            yield from ((f"{name}.{k}", v) for k, v in fields if not is_blank(v))
        elif name in read and isinstance(value, Mapping) and "messages" in value:
            yield from _held_in(name, value)


def _held_in(name: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what is not read of an object that holds messages, as OpenAI's preferences have it."""
    known = frozenset({"messages", *EFFECTLESS})
    yield from ((f"{name}.{key}", held) for key, held in _held(value, known))


def _fields(message: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a message that are not read, none of what is no message."""
    known = READ | FIELDS
    if isinstance(message, Mapping) and known & message.keys():
        yield from ((name, value) for name, value in message.items() if name not in known)


def _refuse(row: RawRow, name: str, value: Any) -> None:
    field = name.rpartition(".")[2].casefold()
    if field in CALLS:
        raise DataError(
            f"{row.place}: {name} holds a call of a tool beside the messages, which is not read: "
            "write it into the assistant's message, or remove the row"
        )
    if "." in name and field in LEARNED and value is False:
        said = f"{name} is false, and turns are left unlearned by `weight` alone"
        raise DataError(f'{row.place}: {said}: write "weight": 0 into the message in its place')
    if field in WEIGHTS and not _is_one(value):
        raise DataError(
            f"{row.place}: {name}={str(value)[:20]}: rows are not weighted: remove what has the "
            "weight 0, and the column"
        )


def _is_one(value: Any) -> bool:
    try:
        return float(value) == 1
    except (TypeError, ValueError):
        return False
