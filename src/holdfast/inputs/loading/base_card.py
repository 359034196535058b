"""What the card of a base model says that a model made from it inherits: its name and license."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from holdfast.errors import HoldfastError
from holdfast.files.guarded.documents import text_in
from holdfast.inputs.rows import ORGANISM
from holdfast.inputs.yaml_files import mapping_in

__all__ = ["BaseCard", "base_card"]

FILE = "README.md"
_BLOCK = re.compile(r"\A\s*---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LICENSE = re.compile(r"[A-Za-z0-9][\w.+-]{0,60}")


@dataclass(frozen=True)
class BaseCard:
    """What is known of a base model, with no path of this machine in it."""

    name: str
    """Its hub id, or the name of its folder."""
    base_model: str | None = None
    """Its hub id, or where a folder's own card names one, that."""
    license: str | None = None
    license_name: str | None = None


def base_card(model: str) -> BaseCard:
    """Return what a folder's or a hub model's own card says; a card that cannot be read says none.

    Args:
        model: A folder, a hub id or ``organism``, which was loaded already.
    """
    if model == ORGANISM:
        return BaseCard("holdfast's built-in test model")
    local = Path(model).exists()
    name = Path(model).resolve().name if local else model
    said = _metadata(model, local=local)
    named = said.get("base_model")
    listed = named[0] if isinstance(named, list) and len(named) == 1 else named
    license_ = _fitting(said.get("license"), _LICENSE)
    return BaseCard(
        name,
        _fitting(listed, _HUB_ID) if local else model,
        license_,
        _fitting(said.get("license_name"), _LICENSE) if license_ == "other" else None,
    )


def _fitting(value: Any, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _metadata(model: str, *, local: bool) -> dict[str, Any]:
    try:
        path = Path(model) / FILE if local else _cached(model)
        if path is None or not path.is_file():
            return {}
        block = _BLOCK.match(text_in(path))
        return dict(mapping_in(block[1], FILE)) if block else {}
    except (OSError, ValueError, HoldfastError):
        return {}


def _cached(model: str) -> Path | None:
    found = cached_file(
        model, FILE, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    return None if found is None else Path(found)
