"""Read one value, from the command line or a YAML file, as the type that a field declares."""

import json
import math
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

from holdfast.errors import ConfigError

__all__ = ["as_json", "checked", "converted", "expected"]

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def converted(value: Any, hint: Any) -> Any:
    """Return ``value`` as ``hint`` (bool, int, float, str, Literal, X | None, tuple of X).

    Text is parsed; numbers, booleans, None and lists are taken as YAML gives them. A tuple in text
    is written with slashes: ``0/0.5/1``. Hints of other kinds take any value that is not text.

    Raises:
        ValueError: The value is of another type, or NaN or infinite.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(value, get_args(hint))
    if origin is Literal:
        return _choice(value, get_args(hint))
    if origin is tuple or hint is tuple:
        return _sequence(value, (*get_args(hint), Any)[0])
    try:
        return _READERS.get(hint, lambda taken: taken)(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(value) from error


def checked(name: str, value: Any, hint: Any) -> Any:
    """Return ``value`` as ``hint``; ``name`` is what it is called.

    Raises:
        ConfigError: It is of another type; says which is expected.
    """
    try:
        return converted(value, hint)
    except ValueError as error:
        raise ConfigError(f"{name}={value!r} must be {expected(hint)}") from error


def as_json(value: Any) -> Any:
    """Return ``value`` as JSON has it: tuples become lists, paths and all else text."""
    return json.loads(json.dumps(value, default=str))


def expected(hint: Any) -> str:
    """Say in words which values ``hint`` takes."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(part) for part in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if origin is tuple:
        return "numbers with slashes between them, such as 0/0.5/1"
    words = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
    return words.get(hint, "none" if hint is type(None) else str(getattr(hint, "__name__", hint)))


def _union(value: Any, parts: tuple[Any, ...]) -> Any:
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
        if type(None) in parts:
            return None
        raise ValueError(value)
    # Text fits any field of text, so narrower parts are tried first.
    for part in sorted(parts, key=lambda part: part is str):
        if part is type(None):
            continue
        try:
            return converted(value, part)
        except ValueError:
            continue
    raise ValueError(value)


def _choice(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if value == choice or str(value) == str(choice):
            return choice
    raise ValueError(value)


def _sequence(value: Any, part: Any) -> tuple[Any, ...]:
    items = value.split("/") if isinstance(value, str) else value
    return tuple(
        converted(i, part) for i in (items if isinstance(items, list | tuple) else [items])
    )


def _bool(value: Any) -> bool:
    text = str(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


def _float(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(value)
    return number


def _str(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError(value)
    return str(value)


_READERS: dict[Any, Callable[[Any], Any]] = {bool: _bool, int: _int, float: _float, str: _str}
