"""The values of a command's config, before any of them is used."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError
from holdfast.files.guarded.paths import refuse_text

__all__ = ["check_given"]

COUNTS = ("limit", "test_limit", "harmful_limit", "max_new_tokens", "batch_size", "lm_eval_limit")
MOST = 2**31 - 1
"""Largest count: what counts rows or tokens in 32 bits does so further down."""


def check_given(config: Any) -> None:
    """Raise ``ConfigError`` where a text can name no file, or a count is below 1 or huge."""
    for name, value in _each(config):
        if isinstance(value, str | Path):
            refuse_text(value, f"`{name}={value}`", whole=isinstance(value, Path))
        elif name in COUNTS and value is not None and not 1 <= value <= MOST:
            bound = "at least 1" if value < 1 else f"at most {MOST}"
            raise ConfigError(f"`{name}={value}` is out of range, expected {bound}")


def _each(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields, and each text of those that hold several."""
    for field in fields(config):
        value = getattr(config, field.name)
        for one in value if isinstance(value, list) else [value]:
            yield field.name, one
