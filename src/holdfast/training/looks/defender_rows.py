"""The defenders' rows as the trainer makes them: what it cuts or drops is counted, named and told.

``max_length`` cuts a row, and where nothing of its answer is left the row teaches nothing. A gate
that is measured on no row passes, so a set of which nothing is left is an error before step 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from datasets import Dataset

from holdfast.data.chat import encode
from holdfast.defense import Defense, Examples
from holdfast.errors import DataError, HoldfastError
from holdfast.ops.batches import IGNORED
from holdfast.training.trace import Trace

__all__ = ["DefenderRows"]

_NAMED = 5
"""Rows that a message names by number."""


class DefenderRows:
    """Prepares Examples as the trainer does, and tells what became of them."""

    def __init__(
        self,
        prepare: Callable[[Examples], Any],
        defenses: Sequence[Defense],
        tokenizer: Any,
        limit: int | None,
        say: Callable[[str], None] = lambda _: None,
        trace: Trace | None = None,
    ) -> None:
        self._prepare = prepare
        self._defenses = defenses
        self._tokenizer = tokenizer
        self._limit = limit
        self._say = say
        self._trace = trace or Trace()
        self._known: dict[int, tuple[Examples, Any]] = {}
        self._looked = False

    def look(self) -> None:
        """Prepare every data set of the defenses that are on, before anything is computed.

        Raises:
            DataError: Nothing is left of one.
        """
        for defense in self._defenses:
            if defense.is_off:
                continue
            for rows in (getattr(defense, name) for name in defense.card.data):
                # Prompts alone are no rows to train on; who uses them encodes them by itself.
                if rows is not None and len(rows) and {"completion", "input_ids"} & set(rows[0]):
                    self._known[id(rows)] = (rows, self(rows))
        self._looked = True

    def __call__(self, rows: Examples) -> Any:
        """Return the prepared rows of which an answer is left.

        Raises:
            DataError: None is, or a row cannot be encoded.
        """
        if id(rows) in self._known:
            return self._known[id(rows)][1]
        try:
            ready = self._prepare(rows)
        except DataError as error:
            raise DataError(f"{_shown(self._owners(rows)) or 'a defense'}: {error}") from error
        if len(rows) == 0:
            return ready
        answered = [i for i, labels in enumerate(_labels(ready)) if _asks(labels)]
        cut, dropped = self._changed(rows, ready, answered)
        if cut or dropped:
            self._tell(rows, cut, dropped, left=len(answered))
        return ready if len(answered) == len(ready) else _selected(ready, answered)

    def _changed(
        self, rows: Examples, ready: Any, answered: list[int]
    ) -> tuple[list[int], list[int]]:
        """Return the indices of the rows that were cut, and of those that were dropped."""
        if "input_ids" in rows[0]:  # Rows that come as tokens stay as they are.
            return [], [i for i in range(len(rows)) if i not in set(answered)]
        ids = [list(row) for row in _column(ready, "input_ids")]
        at_limit = self._limit is not None and any(len(row) >= self._limit for row in ids)
        if len(ready) == len(rows) == len(answered) and not at_limit:
            return [], []
        found = _aligned(self._whole(rows), [ids[i] for i in answered])
        if found is None:  # The trainer renders rows in a way of its own: only numbers are known.
            return [], list(range(len(answered), len(rows)))
        return found

    def _whole(self, rows: Examples) -> list[list[int]] | None:
        try:
            return [
                encode(dict(rows[i]), self._tokenizer, None)["input_ids"] for i in range(len(rows))
            ]
        except (HoldfastError, KeyError, TypeError, AttributeError):
            return None

    def _tell(self, rows: Examples, cut: list[int], dropped: list[int], left: int) -> None:
        owners = self._owners(rows)
        who = _shown(owners) or "a defense"
        why = "" if self._limit is None else f" (max_length={self._limit})"
        if left == 0:
            raise DataError(
                f"{who}: of {len(rows)} rows ({_numbers(rows, dropped)}) none keeps a token of its "
                f"answer when the trainer prepares it{why}: raise max_length, or give shorter rows"
            )
        for what, which in (("cut", cut), ("dropped", dropped)):
            if not which or (self._looked and owners):
                continue  # Of a part of a data set it was told when the whole was looked at.
            self._say(
                f"{who}: {len(which)} of {len(rows)} rows are {what} by the trainer's own "
                f"preparation{why}: {_numbers(rows, which)}"
            )
            for name, field in owners:
                self._trace.note(name, f"{field}: rows {what}", len(which))

    def _owners(self, rows: Examples) -> list[tuple[str, str]]:
        """Return (defense, field) of each data set that these rows are, or were taken from."""
        fields = [(d, name, getattr(d, name)) for d in self._defenses for name in d.card.data]
        first = rows[0] if len(rows) else None
        found = [(d.card.name, name) for d, name, given in fields if given is rows]
        return found or [(d.card.name, name) for d, name, given in fields if _has(given, first)]


def _has(given: Examples | None, row: Any) -> bool:
    if given is None or row is None or "input_ids" in row:
        return False
    return any(_content(given[i]) == _content(row) for i in range(len(given)))


def _content(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("prompt"), row.get("completion")


def _shown(owners: Iterable[tuple[str, str]]) -> str:
    return " and ".join(f"{name} `{field}`" for name, field in owners)


def _numbers(rows: Examples, which: Sequence[int]) -> str:
    """Return the numbers of the rows in their file, where they say so, else in their set."""
    named = [str(rows[i].get("row") or i + 1) for i in islice(which, _NAMED)]
    more = ", …" if len(which) > _NAMED else ""
    return f"row{'s' if len(which) > 1 else ''} {', '.join(named)}{more}"


def _column(ready: Any, name: str) -> list[Any]:
    if isinstance(ready, Dataset):
        return list(ready[name]) if name in ready.column_names else [None] * len(ready)
    return [ready[i].get(name) for i in range(len(ready))]


def _labels(ready: Any) -> list[Any]:
    return _column(ready, "labels")


def _asks(labels: Sequence[int] | None) -> bool:
    """Tell whether a row has a label that is predicted; the first one never is."""
    return labels is None or any(int(label) != IGNORED for label in list(labels)[1:])


def _selected(ready: Any, kept: list[int]) -> Any:
    return ready.select(kept) if isinstance(ready, Dataset) else [ready[i] for i in kept]


def _aligned(
    whole: Sequence[Sequence[int]] | None, kept: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]] | None:
    """Return which whole rows were cut and which dropped; None where the two do not fit.

    Rows keep their order, and a cut one is the start or the end of its whole.
    """
    if whole is None:
        return None
    cut: list[int] = []
    dropped: list[int] = []
    at = 0
    for number, row in enumerate(whole):
        own = list(kept[at]) if at < len(kept) else []
        if not own or own not in (list(row[: len(own)]), list(row[-len(own) :])):
            dropped.append(number)
            continue
        at += 1
        if len(own) < len(row):
            cut.append(number)
    return (cut, dropped) if at == len(kept) else None
