"""The generated tables of README and cards: one for each scenario, controls where they belong."""

import importlib.util
from pathlib import Path

import pytest

from tests.synthetic_result import synthetic_result, synthetic_scenarios

ROOT = Path(__file__).resolve().parents[2]
HEADS = ("**harmful mix, 10% harmful rows**", "**benign fine-tuning: obedience**")


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arms(table):
    """The first cell of every row, headings left out."""
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    return [row for row in rows if row and not row.startswith(("|", "*", "`", "model"))]


def test_the_readme_has_a_table_for_each_scenario_and_no_control(build):
    text = build.measured_table(synthetic_scenarios())
    assert text.count("| model |") == 3
    assert all(f"{head}, 3 seeds" in text for head in HEADS)
    assert "subset" not in text
    assert arms(text).count("before") == arms(text).count("plain fine-tuning") == 3


def test_a_card_shows_the_scenarios_its_method_ran_in(build):
    text = build.measured_table(synthetic_scenarios(), "panacea")
    assert text.count("| model |") == 1
    assert HEADS[0] in text
    assert arms(text) == [
        *("before", "plain fine-tuning", "panacea", "security_vectors+panacea", "swat+panacea")
    ]


def test_a_card_shows_its_own_controls(build):
    text = build.measured_table(synthetic_scenarios(), "swat")
    assert text.count("| model |") == 3
    assert arms(text)[-3:] == ["swat", "swat (random subset)", "swat (complement)"]
    assert "ml_lr" not in text


def test_a_baseline_that_is_a_control_stands_on_its_own_card_alone(build):
    given = synthetic_result()
    marked = [a.model_copy(update={"control": "random" in a.defense}) for a in given.arms]
    result = given.model_copy(update={"arms": marked})
    assert arms(build.measured_table(result, "random_perturbation"))[-1] == "random_perturbation"
    assert "random_perturbation" not in arms(build.measured_table(result))
    assert "random_perturbation" in arms(build.measured_table(given))


def test_a_card_of_a_method_that_did_not_run_is_left_empty(build):
    assert build.measured_table(synthetic_result(), "swat") == ""
    empty = "<!-- measured:start -->\n<!-- measured:end -->"
    assert build.replaced(empty, "measured", "") == empty


def test_one_scenario_needs_no_heading(build):
    text = build.measured_table(synthetic_result())
    assert "**" not in text
    assert "harmful mix at p = 0.1, means over 3 seeds" in text
