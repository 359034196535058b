"""Read the values of a recipe's keys: lists, numbers in their range, seeds."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from holdfast.data.mix import shares
from holdfast.errors import ConfigError, InputError
from holdfast.inputs.values import checked, converted, expected
from holdfast.results.records import Attack

__all__ = [
    "flag_of", "knob_of", "list_of", "number_of", "refuse_many", "refuse_no_rows", "seeds_of",
    "told_in",
]  # fmt: skip


MOST_SEEDS, MOST_SEED, MOST_ROWS = 1000, 2**32 - 1, 100_000
"""Limits of a recipe: what is above is a slip, and would be drawn or counted for hours."""


@contextmanager
def told_in(where: str) -> Generator[None]:
    """Say in which recipe it is that something cannot be used."""
    try:
        yield
    except InputError as error:
        error.args = (f"{where}: {error}",)
        raise


def list_of(value: Any, key: str, where: str) -> list[Any]:
    """Return a list that is not empty, or raise ``ConfigError``."""
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: {key} is {value!r}, expected a list of at least one")
    return value


def knob_of(key: str, value: Any, hint: Any, where: str) -> list[Any]:
    """Return the values of a knob of the attack, given as a list or as one."""
    values = value if isinstance(value, list) else [value]
    return [number_of(key, one, hint, where) for one in list_of(values, key, where)]


def number_of(key: str, value: Any, hint: Any, where: str) -> Any:
    """Return a number above 0, or a share for ``p``, or raise ``ConfigError``."""
    number = checked(f"{where}: {key}", value, hint)
    if hint is int and number > MOST_ROWS:
        raise ConfigError(f"{where}: {key}={value} is out of range, expected at most {MOST_ROWS}")
    bad = number is not None and (not 0 <= number <= 1 if key == "p" else number <= 0)
    if bad:
        wanted = "a share in [0, 1]" if key == "p" else "more than 0"
        raise ConfigError(f"{where}: {key}={value} is out of range, expected {wanted}")
    return number


def flag_of(key: str, value: Any, where: str) -> bool:
    """Return true or false, or raise ``ConfigError``."""
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: {key}={value!r} must be {expected(bool)}")
    return value


def seeds_of(value: Any, where: str) -> list[int]:
    """Return the seeds of a list, or as many as a number says from 0 up."""
    given = value if isinstance(value, list) else None
    wanted = f"expected at least one, at most {MOST_SEEDS}, each from 0 to {MOST_SEED}"
    try:
        if given is None and converted(value, int) > MOST_SEEDS:
            raise ConfigError(f"{where}: seeds={value!r}, {wanted}")
        seeds = list(range(converted(value, int))) if given is None else [
            converted(one, int) for one in given
        ]  # fmt: skip
    except ConfigError:  # It is a ``ValueError`` as well.
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: seeds={value!r} must be a whole number or a list") from error
    if not 0 < len(seeds) <= MOST_SEEDS or min(seeds) < 0 or max(seeds) > MOST_SEED:
        raise ConfigError(f"{where}: seeds={repr(value)[:80]}, {wanted}")
    return seeds


def refuse_many(cells: int, where: str) -> None:
    """Raise ``ConfigError`` where a grid has more cells than anybody runs."""
    if cells > MOST_ROWS:
        raise ConfigError(f"{where}: has {cells} cells, expected at most {MOST_ROWS}")


def refuse_no_rows(attacks: Iterable[Attack], where: str) -> None:
    """Raise ``ConfigError`` where a share of the user's rows comes to none: p would not be so."""
    for at in attacks:
        for kind, share, n in zip(
            ("harmless", "harmful"), (1 - at.p, at.p), shares(at.rows, at.p), strict=True
        ):
            if share > 0 and n == 0:
                raise ConfigError(
                    f"{where}: p={at.p:g} of rows={at.rows} is no {kind} row: give more rows, or "
                    f"p={0 if kind == 'harmful' else 1}"
                )
