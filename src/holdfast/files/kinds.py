"""Which of holdfast's files a JSON document is, told by a field that no other kind has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import InputError

__all__ = ["MARKS", "refuse_other_kind"]

MARKS = {
    "arms": "result.json", "findings": "screen.json", "exit_code": "gate.json",
    "candidates": "choose.json", "tau": "robust_modules.json", "series": "ledger of looks",
}  # fmt: skip


def refuse_other_kind(source: Path, document: Mapping[str, Any], wanted: str) -> None:
    """Raise where a document is another of holdfast's files than the ``wanted`` one.

    Each kind counts its versions by itself, so this comes before its version is looked at.

    Raises:
        InputError: It is; says which, and what is wanted.
    """
    kinds = [kind for mark, kind in MARKS.items() if mark in document]
    if kinds and wanted not in kinds:
        raise InputError(f"{source} is a {kinds[0]}, where a {wanted} is expected: give that one")
