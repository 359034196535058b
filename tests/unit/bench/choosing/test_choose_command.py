"""``holdfast choose`` as it is typed: exit codes, JSON, and bad input that starts nothing."""

import json
from functools import partial

import pytest

from holdfast.bench.choosing import choose as module
from holdfast.cli import main
from tests.unit.bench.choosing.conftest import PLANTED, TRUTH


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "choose", partial(module.choose, how=PLANTED))
    path = tmp_path / "mine.yaml"
    path.write_text("seeds: 1\nitems_per_kind: 260\ndefenses: [resta]\n")
    return path


def asked(recipe, *more):
    return main(["choose", str(recipe), "--out", str(recipe.parent / "out"), *more])


def test_something_passes(recipe, capsys):
    assert asked(recipe, "--require", "hs<=.1", "--require", "task_drop<=.05", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"] == "safe_mixing"
    assert (recipe.parent / "mine.ledger.json").exists(), "looks are counted beside the recipe"
    assert "look 1" in (recipe.parent / "out" / "choose.log").read_text()


def test_nothing_passes(recipe, capsys, monkeypatch):
    for name in TRUTH:
        monkeypatch.setitem(TRUTH, name, (0.5, 0.9))
    assert asked(recipe, "--require", "hs<=.1") == 4
    out = capsys.readouterr().out
    assert "Nothing passed" in out
    assert "more prompts do not settle that" in out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "--require is missing"),
        (("--require", "harm<=.1"), "no metric 'harm'"),
        (("--require", "hs<=.1", "--attacks", "prefil"), "there is no attack 'prefil'"),
        (("--require", "hs<=.1", "--budget", "1"), "--budget 1 is too small"),
    ],
)
def test_bad_input_starts_nothing(recipe, capsys, more, told):
    assert asked(recipe, *more) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in recipe.parent.iterdir()] == ["mine.yaml"]
