"""Access tokens in a trainer's arguments: they are used and never written."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

from holdfast.files.secret_names import is_secret

__all__ = ["withheld"]


@contextmanager
def withheld(args: Any) -> Generator[None]:
    """Let the body write ``args`` without any token or key, at any depth, and still use them.

    An object is asked itself how it is written; for the body, these answer as their copy would.
    """
    open_ones = copy(args)
    vars(open_ones).update(
        {
            name: _without(value)
            for name, value in vars(args).items()
            if (isinstance(value, str) and is_secret(name)) or isinstance(value, Mapping)
        }
    )
    vars(args)["__reduce_ex__"] = open_ones.__reduce_ex__
    try:
        yield
    finally:
        vars(args).pop("__reduce_ex__", None)


def _without(value: Any) -> Any:
    """Return a mapping or list with nothing under a secret's name; a secret itself is None."""
    if isinstance(value, Mapping):
        return {
            key: None if is_secret(str(key)) and isinstance(below, str) else _within(below)
            for key, below in value.items()
        }
    return None


def _within(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_within, value))
    return _without(value) if isinstance(value, Mapping) else value
