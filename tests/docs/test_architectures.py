"""The published table of model types: every cell is run again, and is what the page says."""

import json

import pytest
from architectures import architectures_page
from build import ROOT

from tests.cells import TOOLS, cells_of
from tests.zoo import FULL, ZOO

PUBLISHED = json.loads((ROOT / "results" / "architectures.json").read_text())["types"]
ALWAYS = ("llama", "gpt2", "phi3", "gemma3", "qwen3_moe", "mamba")
"""One of each make: plain, transposed, fused, inside a wrapper, with experts, without attention."""
KINDS = [
    pytest.param(kind, marks=() if kind in ALWAYS else pytest.mark.thorough) for kind in ZOO
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_is_what_the_table_says(kind):
    found = {tool: cell._asdict() for tool, cell in cells_of(kind).items()}
    assert found == PUBLISHED[kind]


def test_there_are_thirty_types_and_the_main_ones_have_every_tool():
    assert list(PUBLISHED) == list(ZOO)
    assert len(PUBLISHED) >= 30
    assert all(tuple(cells) == TOOLS for cells in PUBLISHED.values())
    assert [k for k in FULL if not all(cell["works"] for cell in PUBLISHED[k].values())] == []


def test_every_refusal_says_why():
    cells = [cell for cells in PUBLISHED.values() for cell in cells.values()]
    assert all(len(cell["said"]) > 20 for cell in cells if not cell["works"])


def test_a_cell_that_lies_would_be_found():
    page = architectures_page({"transformers": "0", "types": {"a": {"roles": _lie(True)}}})
    other = architectures_page({"transformers": "0", "types": {"a": {"roles": _lie(False)}}})
    assert "| `a` | works |" in page
    assert "| `a` | refused (1) |" in other
    assert "1. it cannot" in other


def _lie(works):
    return {"works": works, "said": "" if works else "it cannot"}
