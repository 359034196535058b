"""The page of model types: every tool on each, as it was really run on a small random model."""

from collections.abc import Mapping
from typing import Any

__all__ = ["architectures_page"]

HEADS = {"security_vectors": "vectors"}


def architectures_page(found: Mapping[str, Any]) -> str:
    """Return the page of ``results/architectures.json``."""
    types: Mapping[str, Mapping[str, Mapping[str, Any]]] = found["types"]
    tools = list(next(iter(types.values())))
    notes: dict[str, int] = {}
    rows = [
        "| type | " + " | ".join(HEADS.get(tool, tool) for tool in tools) + " |",
        "|---" * (len(tools) + 1) + "|",
    ]
    for kind, cells in types.items():
        shown = (_cell(cells[tool], notes) for tool in tools)
        rows.append(f"| `{kind}` | " + " | ".join(shown) + " |")
    listed = [f"{number}. {said}" for said, number in notes.items()]
    whole = sum(all(cell["works"] for cell in cells.values()) for cells in types.values())
    return (
        "# Which models\n\n"
        f"{len(types)} model types of transformers {found['transformers']} × {len(tools)} tools; "
        f"{whole} types have every tool. Each cell was run on a random model of two layers: an "
        "adapter was trained for two steps, a defense had to change what it says it changes, and "
        "an analysis had to reach every projection and leave the model as it was. *refused* means "
        "an error of one line before anything has changed; its number leads to the reason. A type "
        "that is not here is looked at when it is loaded: its projections have to show what they "
        "do, or are refused by name. `holdfast inspect MODEL` says the same of your model, without "
        "its weights.\n\n"
        "From `results/architectures.json`, which `measurements/architectures.py` writes; a test "
        "runs every cell again.\n\n"
        + "\n".join(rows)
        + ("\n\n## Notes\n\n" + "\n".join(listed) if listed else "")
        + "\n"
    )


def _cell(cell: Mapping[str, Any], notes: dict[str, int]) -> str:
    state = "works" if cell["works"] else "refused"
    if not cell["said"]:
        return state
    number = notes.setdefault(" ".join(cell["said"].split()), len(notes) + 1)
    return f"{state} ({number})"
