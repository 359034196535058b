"""Checks of a defense's fields, and its data sets as lists."""

from collections.abc import Mapping
from typing import Any

from numpy import ndarray

from holdfast.defense.protocol import Defense
from holdfast.defense.run import Examples, Row
from holdfast.errors import ConfigError, DataError

__all__ = ["in_range", "listed", "need_data", "refuse_no_rows", "whole_in_range"]


def in_range(defense: Defense, name: str, low: float, high: float = float("inf")) -> None:
    """Raise unless the field is a finite number in [low, high]."""
    value = getattr(defense, name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or value == float("inf"):
        wanted = f"in [{low}, {high}]" if high < float("inf") else f"{low} or more"
        raise ConfigError(f"{defense.card.name}: {name}={value!r} must be a number {wanted}")


def whole_in_range(defense: Defense, name: str, low: int) -> None:
    """Raise unless the field is a whole number, ``low`` or more."""
    in_range(defense, name, low)
    if (value := getattr(defense, name)) != int(value):
        raise ConfigError(f"{defense.card.name}: {name}={value!r} must be a whole number")


def listed(rows: Examples | None, limit: int | None = None) -> list[Row]:
    """Return the first ``limit`` rows of a ``datasets.Dataset`` or a list as a list."""
    count = 0 if rows is None else len(rows)
    last = count if limit is None else min(limit, count)
    return [_plain(dict(rows[i])) for i in range(last)] if rows is not None else []


def _plain(value: Any) -> Any:
    """Return a row with lists of messages where pandas and numpy have arrays of objects."""
    if isinstance(value, ndarray) and value.dtype.hasobject:
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


def refuse_no_rows(defense: Defense) -> None:
    """Raise ``DataError`` where a data set is none: rows by number, each a mapping."""
    for name in defense.card.data:
        rows: Any = getattr(defense, name)
        if rows is not None and (what := _no_rows(rows)):
            raise DataError(
                f"{defense.card.name}: `{name}` {what}; expected a list or datasets.Dataset of "
                "rows, each a mapping with `prompt` and `completion`: of a DataFrame give "
                "to_dict('records'), of a DatasetDict one split, of a stream list(rows)"
            )


def _no_rows(rows: Any) -> str:
    """Return what is wrong with a data set, or ""."""
    if not hasattr(rows, "__len__") or isinstance(rows, str | Mapping):
        return f"is a {type(rows).__name__}"
    try:
        first = rows[0] if len(rows) else {}
    except (LookupError, TypeError):
        return f"is a {type(rows).__name__}"
    return "" if isinstance(first, Mapping) else f"begins with a {type(first).__name__}"


def need_data(defense: Defense, name: str) -> Any:
    """Return the field's data set, or raise that it is missing or empty."""
    rows = getattr(defense, name)
    if rows is None or len(rows) == 0:
        raise ConfigError(
            f"{defense.card.name} needs `{name}=FILE` (a data set of prompt–completion examples), "
            f"got {'none' if rows is None else 'an empty one'}"
        )
    return rows
