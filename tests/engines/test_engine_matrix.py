"""Every defense on every engine is equal to one process, or refused before step 0: no third way.

``results/engines.json`` has the cells as they were run, and each is run again here: a tenth of
those of one process in the usual suite, all by ``make engines``.
"""

import json
from pathlib import Path

import pytest

from tests.engines.cells import cell
from tests.engines.columns import COLUMNS
from tests.engines.trainers import engine_recipes
from tests.engines.under_deepspeed import INSTALLED

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLISHED = json.loads((ROOT / "results" / "engines.json").read_text())["cells"]
RECIPES = {recipe.label: recipe for recipe in engine_recipes()}
DEAR = {"compile", "ddp", "fsdp2"} | ({"zero"} if INSTALLED else set())
"""Columns whose cells import the compiler, or take two processes."""


def _cases():
    """Yield every published cell; nine of ten wait for ``make engines``."""
    for number, key in enumerate(sorted(PUBLISHED)):
        column, tuning, label = key.split("/")
        dear = column in DEAR or number % 10 != 0
        yield pytest.param(column, tuning, label, id=key, marks=pytest.mark.engines if dear else ())


@pytest.mark.parametrize(("column", "tuning", "label"), _cases())
def test_every_cell_is_what_the_table_says(column, tuning, label):
    published = PUBLISHED[f"{column}/{tuning}/{label}"]
    if column == "zero" and published["state"] == "equal" and not INSTALLED:
        pytest.skip("DeepSpeed is not installed")
    found = cell(RECIPES[label], COLUMNS[column], tuning)
    assert (found.state, found.said) == (published["state"], published["said"])


def test_no_published_cell_is_of_a_third_kind():
    assert {found["state"] for found in PUBLISHED.values()} == {"equal", "refused"}
    assert all(len(f["said"]) > 40 for f in PUBLISHED.values() if f["state"] == "refused")
    assert all(f["apart"] <= COLUMNS[key.split("/")[0]].tolerance for key, f in PUBLISHED.items())


def test_every_variant_of_every_defense_has_its_row():
    for tuning in ("lora", "full"):
        for column in ("accumulation", "bf16", "checkpointing", "resume"):
            assert {f"{column}/{tuning}/{label}" for label in RECIPES} <= set(PUBLISHED)
