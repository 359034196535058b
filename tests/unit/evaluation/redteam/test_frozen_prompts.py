"""Frozen prompts: one hash, and a changed file is an error and never another test."""

import json

import pytest

from holdfast.errors import ConfigError, InputError
from holdfast.evaluation import Item
from holdfast.evaluation.redteam import Context, attacks_named, frozen, read_frozen
from holdfast.evaluation.redteam.english import ENGLISH

ITEMS = [Item(f"h-{n}", "harmful", [{"role": "user", "content": f"ask {n}"}]) for n in range(3)]
GATE = attacks_named("nightly")


def made(items=ITEMS, **rest):
    return frozen(GATE, items, Context(ENGLISH, draws=4, **rest))


@pytest.fixture
def file(tmp_path):
    made().save(tmp_path / "prompts.json")
    return tmp_path / "prompts.json"


def test_the_hash_is_of_every_word():
    assert made().sha256 == made().sha256
    assert made().sha256 != made(seed=1).sha256
    other = [*ITEMS[:2], Item("h-2", "harmful", [{"role": "user", "content": "ask 2 "}])]
    assert made().sha256 != made(other).sha256


def test_what_is_read_is_what_was_frozen(file):
    found = read_frozen(file, ITEMS)
    assert found.sha256 == made().sha256
    assert found.missing == {"task_wrap": "no rows of the user's task were given"}
    assert "proximal" not in found.prompts
    few = found.only(attacks_named("direct,task_wrap"))
    assert (list(few.prompts), list(few.missing)) == (["direct"], ["task_wrap"])


def test_a_changed_prompt_is_refused(file):
    told = json.loads(file.read_text())
    for row in told["prompts"]:
        if row["attack"] == "prefill":
            row["prefill"] = "I cannot help, because"
    file.write_text(json.dumps(told))
    with pytest.raises(InputError, match="were changed after they were frozen"):
        read_frozen(file, ITEMS)


def test_a_prompt_that_was_taken_out_is_refused(file):
    told = json.loads(file.read_text())
    del told["prompts"][-1]
    file.write_text(json.dumps(told))
    with pytest.raises(InputError, match="were changed"):
        read_frozen(file, ITEMS)


def test_an_attack_that_is_said_to_be_missing_is_refused(file):
    """Its prompts would be passed over, and the headline would be of the others."""
    told = json.loads(file.read_text())
    told["missing"]["prefill"] = "it cannot be made"
    file.write_text(json.dumps(told))
    with pytest.raises(InputError, match="were changed"):
        read_frozen(file, ITEMS)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 1, "prompts": [{}], "missing": 0}'])
def test_what_is_no_such_file_is_refused(tmp_path, text):
    path = tmp_path / "prompts.json"
    path.write_text(text)
    with pytest.raises(InputError, match="frozen="):
        read_frozen(path, ITEMS)
    with pytest.raises(InputError, match="cannot be read"):
        read_frozen(tmp_path / "none.json", ITEMS)


def test_prompts_of_other_questions_are_refused(file):
    with pytest.raises(ConfigError, match="of other harmful questions"):
        read_frozen(file, ITEMS[:2])
    other = [*ITEMS[:2], Item("h-2", "harmful", [{"role": "user", "content": "ask more"}])]
    with pytest.raises(ConfigError, match="its question h-2 is not the one that is given"):
        read_frozen(file, other)


def test_an_attack_that_was_not_frozen_is_refused(tmp_path):
    frozen(attacks_named("direct"), ITEMS, Context(ENGLISH)).save(tmp_path / "few.json")
    with pytest.raises(ConfigError, match="holds no prompts of prefill"):
        read_frozen(tmp_path / "few.json", ITEMS).only(attacks_named("direct,prefill"))
