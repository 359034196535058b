"""A data set of the hub; it is no file, so its name and not a suffix tells it."""

from collections.abc import Iterator
from typing import Any

from datasets import load_dataset
from huggingface_hub import constants

from holdfast.data.formats.protocol import RawRow
from holdfast.errors import DataError, reason_of

__all__ = ["read_hub"]


def read_hub(source: str, split: str, revision: str | None = None) -> Iterator[RawRow]:
    """Yield a hub data set's rows; the one place here that may reach the network."""
    name, _, config = source.partition(":")
    pinned: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        rows = load_dataset(name, config or None, split=split, **pinned)
    except Exception as error:
        # The hub's client raises dozens of types (offline, not found, gated, no such config).
        raise DataError(_hub_message(source, split, error)) from error
    for number, values in enumerate(rows, start=1):
        yield RawRow(number, f"{source} ({split}), row {number}", dict(values))


def _hub_message(source: str, split: str, error: Exception) -> str:
    if constants.HF_HUB_OFFLINE:
        said = "is no local file, and the hub is out of reach"
        return f"{source}: {said}: connect (and unset HF_HUB_OFFLINE), or give a local file"
    return f"{source}: the hub data set's split {split!r} cannot be loaded: {reason_of(error)}"
