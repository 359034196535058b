"""Checks of a defense's fields, and its data sets as lists."""

from typing import Any

from holdfast.defense.protocol import Defense
from holdfast.defense.run import Examples, Row
from holdfast.errors import ConfigError

__all__ = ["in_range", "listed", "need_data", "whole_in_range"]


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
    return [dict(rows[i]) for i in range(last)] if rows is not None else []


def need_data(defense: Defense, name: str) -> Any:
    """Return the field's data set, or raise that it is missing or empty."""
    rows = getattr(defense, name)
    if rows is None or len(rows) == 0:
        raise ConfigError(
            f"{defense.card.name} needs `{name}=FILE` (a data set of prompt–completion examples), "
            f"got {'none' if rows is None else 'an empty one'}"
        )
    return rows
