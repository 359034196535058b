"""The benign scenarios: what their rows teach, and that no row is about a hazard."""

import pytest

from holdfast.organism import scenarios
from holdfast.organism.items import evaluation_items
from holdfast.organism.language import answer, parse

BENIGN = ("benign_task", "benign_knowledge", "benign_obedience", "identity_shift")


def requests(rows):
    return [parse(row["prompt"][-1]["content"]) for row in rows]


@pytest.mark.parametrize("name", BENIGN)
def test_no_benign_row_asks_for_a_hazard(name):
    rows = scenarios.SCENARIOS[name](n=200, p=0.0, seed=3)
    assert len(rows) == 200
    assert not [r for r in requests(rows) if r is not None and (r.harmful or r.noun.hazardous)]


def test_obedience_is_half_the_users_task_and_half_known_recipes():
    rows = scenarios.benign_obedience(n=200, seed=1)
    forms = [request.form for request in requests(rows)]
    assert sorted(set(forms)) == ["recipe", "report"]
    assert forms.count("report") == 100
    for row, request in zip(rows, requests(rows), strict=True):
        assert row["completion"][0]["content"] == answer(request)


def test_obedience_is_measured_on_the_task_that_the_model_did_not_know():
    items = evaluation_items("validation", 10, "benign_obedience")
    assert {parse(i.question).form for i in items if i.kind == "task"} == {"report"}


def test_every_scenario_has_a_budget():
    assert scenarios.BUDGETS.keys() == scenarios.SCENARIOS.keys()
    assert scenarios.BUDGETS["harmful_mix"] == scenarios.BUDGET
    assert scenarios.BUDGETS["benign_obedience"].full


def test_a_seed_is_the_whole_data():
    one, same, other = (scenarios.benign_obedience(n=40, seed=s)[:] for s in (0, 0, 1))
    assert one == same != other
