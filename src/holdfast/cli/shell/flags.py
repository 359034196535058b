"""Fields, as the rooms below quote them in what they say, become the flags that the user typed."""

import re
from contextvars import ContextVar
from typing import Any

__all__ = ["flag_of", "take_fields", "with_flags"]

_QUOTED = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")
_FIELDS: ContextVar[frozenset[str]] = ContextVar("fields", default=frozenset())
"""The fields that the running command takes as flags."""


def flag_of(name: str) -> str:
    """Return the flag of a field: ``max_steps`` is given as ``--max-steps``."""
    return "--" + name.replace("_", "-")


def take_fields(command: Any) -> None:
    """Let the flags of ``command``, which is about to run, stand for its fields."""
    params = getattr(command, "params", ())
    _FIELDS.set(frozenset(p.name for p in params if flag_of(p.name) in p.opts))


def with_flags(text: str) -> str:
    """Return ``text`` with its quoted fields as flags: `` `max_steps=0` `` as ``--max-steps 0``.

    Quoted words that are no field of the running command stay as they are.
    """
    return _QUOTED.sub(_flag, text)


def _flag(quoted: re.Match[str]) -> str:
    name, value = quoted.groups()
    if name not in _FIELDS.get():
        return quoted[0]
    return flag_of(name) if value in (None, "True") else f"{flag_of(name)} {value}"
