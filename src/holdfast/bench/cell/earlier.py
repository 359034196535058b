"""Cells that an older holdfast has run: their keys told less, and a folder has them still.

Of a model of the hub it told the last part of the name, and of what lies in a folder or file that a
defense names nothing. What nobody knows of a cell is not taken for known: it runs again.
"""

import hashlib
from pathlib import Path
from typing import Any

from holdfast.bench.cell.cell import Cell, contents, key_of

__all__ = ["earlier_key", "earlier_settings"]

_NO_FILES = hashlib.sha256().hexdigest()
"""What stood for the weights of a model of the hub."""


def earlier_key(cell: Cell) -> str:
    """Return the key that the cell had: its own, where that told as much as now."""
    return key_of(_told(cell))


def earlier_settings(cell: Cell) -> dict[str, Any] | None:
    """Return the settings under which an older holdfast kept the same cell.

    None where they would be those of another one too, or are those of today. A model is told by
    its whole name in the recipe beside the cells, which ``check_folder`` has compared.
    """
    told, now = _told(cell), cell.settings
    return told if told["defenses"] == now["defenses"] and told != now else None


def _told(cell: Cell) -> dict[str, Any]:
    settings = cell.settings
    made_by = dict(settings["made_by"])
    if made_by.get("weights") == "":
        made_by |= {"model": Path(made_by["model"]).name, "weights": _NO_FILES}
    defenses = settings["defenses"]
    if cell.attack is not None:
        untold = map(contents, cell.defenses)
        defenses = [
            {key: value for key, value in said.items() if key not in named}
            for named, said in zip(untold, defenses, strict=True)
        ]
    return {**settings, "defenses": defenses, "made_by": made_by}
