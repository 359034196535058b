"""What a model's card says of its licence."""

from pathlib import Path
from typing import Any

import yaml

from holdfast.files.guarded.documents import refuse_deep, text_in

__all__ = ["license_of"]


def license_of(card: Path | None) -> str | None:
    """Return the licence in the head of a model card; None where there is no card or none in it."""
    if card is None or not card.is_file():
        return None
    try:
        head = _head(text_in(card))
        found: Any = yaml.safe_load(head) if head else None
        refuse_deep(found)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    named = found.get("license_name") if found.get("license") == "other" else found.get("license")
    return str(named)[:100] if named else None


def _head(text: str) -> str:
    """Return what stands between the lines of dashes that a card begins with."""
    if not text.startswith("---"):
        return ""
    head, end, _ = text.removeprefix("---").partition("\n---")
    return head if end else ""
