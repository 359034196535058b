"""Access tokens in a trainer's arguments: they are used and never written."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

__all__ = ["withheld"]


@contextmanager
def withheld(args: Any) -> Generator[None]:
    """Take every ``…_token`` out of ``args`` for the body, which writes them to the disk."""
    named = [f.name for f in fields(args) if f.name.endswith("_token")]
    held = {name: value for name in named if isinstance(value := getattr(args, name, None), str)}
    vars(args).update(dict.fromkeys(held))
    try:
        yield
    finally:
        vars(args).update(held)
