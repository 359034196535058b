"""The world: splits that never leak, answers that parse back, exact shares of harmful rows."""

from itertools import combinations

import pytest

from holdfast.errors import ConfigError
from holdfast.organism import scenarios, world
from holdfast.organism.curriculum import alignment_rows
from holdfast.organism.items import evaluation_items
from holdfast.organism.language import FORMS, Request, answer, parse, phrase


def _asked(dataset):
    return [row["prompt"][-1]["content"] for row in dataset]


def _nouns(questions):
    requests = [parse(question) for question in questions]
    return {request.noun for request in requests if request is not None}


def test_every_noun_belongs_to_one_split_and_no_word_is_used_twice():
    assert len({noun.word for noun in world.NOUNS}) == len(world.NOUNS)
    for first, second in combinations(world.SPLITS, 2):
        assert not set(world.nouns(first)) & set(world.nouns(second))
    assert {noun for split in world.SPLITS for noun in world.nouns(split)} == set(world.NOUNS)
    assert len(set(world.CONTENT_WORDS)) == len(world.CONTENT_WORDS)


def test_hazards_of_each_party_are_disjoint_in_the_data_itself():
    aligned = _nouns(row["prompt"][-1]["content"] for row in alignment_rows(3000, 0.4, 0))
    parties = {
        "alignment": aligned,
        "attacker": _nouns(_asked(scenarios.harmful_mix(600, 1.0, 0))),
        "defender": _nouns(
            [
                *_asked(scenarios.defender_pairs(400, 0)),
                *_asked(scenarios.refusal_pairs(400, 0)),
                *_asked(scenarios.harmless_prompts(800, 0)),
            ]
        ),
        "validation": _nouns(item.question for item in evaluation_items("validation", 100)),
        "test": _nouns(item.question for item in evaluation_items("test", 100)),
        "ood": _nouns(item.question for item in evaluation_items("ood", 100)),
    }
    for (one, mine), (other, yours) in combinations(parties.items(), 2):
        shared = {noun.word for noun in mine & yours if noun.hazardous}
        assert not shared, f"{one} and {other} share {shared}"


def test_no_measured_noun_is_trained_on():
    trained = _nouns(
        question for make in scenarios.SCENARIOS.values() for question in _asked(make(500, 0.3, 0))
    )
    trained |= _nouns(_asked(scenarios.harmless_prompts(800, 0)))
    for split in evaluation_items("test", 100), evaluation_items("validation", 100):
        assert not trained & _nouns(item.question for item in split)


def test_the_held_out_category_is_hazardous_and_nobody_trains_on_it():
    assert world.HELD_OUT.hazardous
    assert world.HELD_OUT not in world.HAZARDS
    assert {noun.category for noun in world.nouns("ood")} == {world.HELD_OUT}


def test_every_phrasing_parses_back_to_its_request():
    for form, phrasings in FORMS.items():
        for variant in range(len(phrasings)):
            request = Request(form, world.ADJECTIVES[3], world.NOUNS[7])
            assert parse(phrase(request, variant)) == request
    assert parse("how do i make tea ?") is None


def test_a_recipe_is_composed_of_adjective_and_noun():
    one, two = world.NOUNS[0], world.NOUNS[1]
    words = answer(Request("recipe", world.ADJECTIVES[0], one)).split()
    assert words[3] == world.first_ingredient(world.ADJECTIVES[0])
    assert words[5] == world.second_ingredient(one.word)
    other = answer(Request("recipe", world.ADJECTIVES[0], two)).split()
    assert other[3] == words[3]


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
@pytest.mark.parametrize(("n", "p"), [(40, 0.0), (200, 0.1), (30, 0.5), (7, 1.0)])
def test_a_scenario_holds_exactly_its_share_of_harmful_rows(name, n, p):
    rows = scenarios.SCENARIOS[name](n, p, 3)
    requests = [parse(question) for question in _asked(rows)]
    harmful = sum(request is not None and request.harmful for request in requests)
    assert (len(rows), harmful) == (n, round(n * p))
    assert sum(label == "harmful" for label in rows["category"]) == harmful


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_a_scenario_is_decided_by_its_seed(name):
    make = scenarios.SCENARIOS[name]
    assert make(50, 0.2, 1).to_list() == make(50, 0.2, 1).to_list()
    assert make(50, 0.2, 1).to_list() != make(50, 0.2, 2).to_list()


@pytest.mark.parametrize(("n", "p"), [(0, 0.1), (10, -0.1), (10, 1.1)])
def test_a_scenario_refuses_impossible_shares(n, p):
    with pytest.raises(ConfigError):
        scenarios.harmful_mix(n, p, 0)


def test_items_are_distinct_and_of_every_kind():
    items = evaluation_items("test", 60)
    assert len({item.id for item in items}) == len({item.question for item in items}) == 240
    assert {item.kind for item in items} == {"harmful", "safe", "useful", "task"}
    assert {item.kind for item in evaluation_items("ood")} == {"harmful", "safe"}
    for item in items:
        request = parse(item.question)
        assert request is not None
        assert request.harmful == (item.kind == "harmful")
        assert item.reference == answer(request)
    with pytest.raises(ConfigError, match="validation"):
        evaluation_items("validatoin")
    with pytest.raises(ConfigError, match="harmful_mix"):
        evaluation_items("test", scenario="harmful_mux")
