"""What stands in a file and is not read: told once, or refused where a row means another thing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.data.formats import RawRow
from holdfast.errors import DataError

__all__ = ["Unread"]

WEIGHTS = ("weight", "weights", "loss_weight", "sample_weight")
CALLS = ("tool_calls", "function_call")
_READ = frozenset({"role", "content"})


class Unread:
    """Looks at every row of one file."""

    def __init__(self) -> None:
        self._rows = self._conversations = 0
        self._columns: Counter[str] = Counter()

    def see(self, row: RawRow, read: frozenset[str], prompt: list[dict[str, str]]) -> None:
        """Look at a row, the columns that were read of it, and the prompt that was made of it.

        Raises:
            DataError: The row has a weight other than 1, or calls of tools: to leave them out
                would train on something else.
        """
        self._rows += 1
        self._conversations += any(message["role"] == "assistant" for message in prompt)
        held = [*_held(row.values, read)]
        for name, value in held:
            _refuse(row, name, value)
        self._columns.update(dict(held).keys())  # In the order of the file.

    def columns(self) -> list[str]:
        """Return a sentence on the columns that are not read, if there are any."""
        told = [f"{name} ({count} of {self._rows} rows)" for name, count in self._columns.items()]
        return [f"not read: {', '.join(told)}"] if told else []

    def notes(self) -> list[str]:
        """Return what is told of a file of examples."""
        many = f"{self._conversations} of {self._rows} rows have earlier turns of the assistant"
        return [
            *self.columns(),
            *([f"{many}: the loss is on the last answer alone"] if self._conversations else []),
        ]


def _held(values: Mapping[str, Any], read: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Yield what has a value and is not read: columns, and fields of messages."""
    for name, value in values.items():
        if name not in read and not _empty(value):
            yield name, value
        elif name in read and isinstance(value, list):
            for message in value:
                fields = message.items() if isinstance(message, Mapping) else ()
                yield from (
                    (f"{name}.{k}", v) for k, v in fields if k not in _READ and not _empty(v)
                )


def _refuse(row: RawRow, name: str, value: Any) -> None:
    field = name.rpartition(".")[2].casefold()
    if field in CALLS:
        raise DataError(
            f"{row.place}: {name} holds a call of a tool, which is not read: write it into the "
            "content as the model writes it, or remove the row"
        )
    if field in WEIGHTS and not _is_one(value):
        raise DataError(
            f"{row.place}: {name}={str(value)[:20]}: rows and messages are not weighted: remove "
            "what has the weight 0, and the column"
        )


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _is_one(value: Any) -> bool:
    try:
        return float(value) == 1
    except (TypeError, ValueError):
        return False
