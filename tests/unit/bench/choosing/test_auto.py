"""``--defense auto``: a tuning run as a recipe, its candidates, and where the model comes to."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from holdfast.bench.choosing import auto
from holdfast.bench.choosing.auto import recipe_of, tune_auto
from holdfast.cli import auto as shell
from holdfast.cli.shell.options import Interrupted
from holdfast.commands.tune import tune
from holdfast.defenses import built_in
from holdfast.errors import ConfigError
from holdfast.inputs.configs import AlignConfig, TuneConfig
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.bench.choosing.conftest import PLANTED, TRUTH

LIMITS = ["hs<=.05", "task_drop<=.05"]


def config(tmp_path, kind=TuneConfig, **more):
    given = {"model": "organism", "data": "organism", "output": tmp_path / "out"}
    return kind(**{**given, "defense": ["auto"], "require": LIMITS, "test_limit": 400, **more})


def test_a_model_that_passed_comes_to_the_output(tmp_path, monkeypatch):
    for name in built_in().keys() - TRUTH.keys():
        monkeypatch.setitem(TRUTH, name, (0.3, 0.5))

    def written(cell, out):
        (out / "planted").mkdir(exist_ok=True)
        (out / "planted" / "adapter.bin").write_text(cell.specs)
        return out / "planted"

    how = replace(PLANTED, write=written)
    found = tune_auto(config(tmp_path), how=how)
    assert found.chosen == "safe_mixing"
    assert (tmp_path / "out" / "adapter.bin").read_text() == "safe_mixing"
    assert json.loads((tmp_path / "out" / "choose.json").read_text())["chosen"] == "safe_mixing"
    assert "refusal_sft" not in found.candidates, "a control is no defense"
    assert "panacea" in found.candidates
    assert any("as its bench does it" in note for note in found.warnings)


def test_an_output_that_holds_the_data_is_refused(tmp_path):
    rows = tmp_path / "out" / "rows.jsonl"
    rows.parent.mkdir()
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    more = {"model": "some/model", "data": str(rows), "overwrite": True}
    with pytest.raises(ConfigError, match="which would be lost"):
        tune_auto(config(tmp_path, **more), how=PLANTED)
    assert rows.exists()


def test_an_earlier_output_is_not_told_as_this_runs(tmp_path, monkeypatch, capsys):
    """The untouched model holds the limits: no model is written, and the old folder stays."""
    old = tmp_path / "out" / "adapter.bin"
    old.parent.mkdir()
    old.write_text("old")
    monkeypatch.setattr(auto, "tune_auto", lambda *_: SimpleNamespace(chosen="before"))
    monkeypatch.setattr(shell, "tell_choice", lambda *_, **__: None)
    assert shell.chosen_by_limits(config(tmp_path, overwrite=True), as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert "nothing was written to" in said
    assert old.read_text() == "old"


def test_a_search_that_is_stopped_says_where_it_goes_on(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt("stopped by Ctrl-C")

    monkeypatch.setattr(auto, "tune_auto", stopped)
    with pytest.raises(Interrupted, match="out-choice; the same command goes on"):
        shell.chosen_by_limits(config(tmp_path), as_json=False)


@pytest.mark.parametrize("name", ["harmful", "validation", "test_safe", "columns"])
def test_the_organism_reads_no_file_and_says_so(tmp_path, name):
    """A misspelt kit was passed over, and the whole search ran without it."""
    with pytest.raises(ConfigError, match=rf"`{name}=beavertail`: the organism has rows"):
        recipe_of(config(tmp_path, **{name: "beavertail"}))
    assert recipe_of(config(tmp_path, harmful="organism")) == recipe_of(config(tmp_path))


def test_a_tuning_run_as_a_recipe(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"q": "what is {n}", "a": "{n}"}}\n' for n in range(7)))
    more = {"model": "some/model", "data": str(rows), "columns": "prompt=q,completion=a"}
    more |= {"test_harmful": "asked.jsonl", "lora": True, "batch_size": 4, "accumulation": 2}
    found = recipe_of(config(tmp_path, **more, limit=5, seed=3))
    assert found["files"] == {
        "task": f"{rows}::prompt=q,completion=a", "test_harmful": "asked.jsonl",
    }  # fmt: skip
    assert (found["rows"], found["seeds"], found["epochs"]) == ([5], [3], [3])
    assert found["scenarios"] == ["benign_task"]
    assert found["training"]["batch"] == 8
    assert found["training"]["full"] is False


def test_a_kit_stands_where_a_file_does(tmp_path, monkeypatch):
    """`--harmful advbench` was "file not found" beside `--defense auto`, and a kit in `tune`."""
    (tmp_path / "gsm8k_train.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path))
    more = {"model": "some/model", "data": "gsm8k", "harmful": "advbench", "test_safe": "xstest"}
    assert recipe_of(config(tmp_path, **more))["files"] == {
        "task": "kit:gsm8k/train", "harmful": "kit:advbench/pairs", "test_safe": "kit:xstest/safe",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"defense": ["auto", "panacea"]}, "give no other defense beside it"),
        ({"quantization": "4bit"}, "`quantization` cannot be given with `defense=auto`"),
        ({"require": []}, "`require` is missing"),
        ({"require": ["hs<=2"]}, "above 1"),
        ({"data": "x.jsonl"}, "has rows of its own"),
        ({"kind": AlignConfig}, "chooses for `holdfast tune`"),
        ({"epochs": 0.0}, "num_train_epochs=0.0 is out of range"),
        ({"batch_size": 0}, "`batch_size=0` is out of range"),
        ({"accumulation": 0}, "gradient_accumulation_steps=0 is out of range"),
        ({"limit": 0}, "`limit=0` is out of range"),
        ({"test_limit": 0}, "`test_limit=0` is out of range"),
        ({"lora_r": 4}, "`lora_r=4` is of an adapter, and all weights would be trained"),
        ({"lora": True, "lora_alpha": 16.5}, "`lora_alpha=16.5`: .* a whole number"),
    ],
)
def test_what_a_search_cannot_do_is_refused(tmp_path, more, told):
    with pytest.raises(ConfigError, match=told):
        tune_auto(config(tmp_path, **more), how=PLANTED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "`require=hs<=.05` is what `defense=auto` chooses by"),
        ({"require": [], "budget": 3.0}, "`budget=3` is what `defense=auto` chooses by"),
    ],
)
def test_limits_without_a_choice_are_refused(tmp_path, more, told):
    with pytest.raises(ConfigError, match=told):
        tune(config(tmp_path, **{"test_limit": 5, **more, "defense": ["panacea"]}))


def test_epochs_beside_a_number_of_steps_are_told(tmp_path):
    rows = tmp_path / "rows.jsonl"
    line = '{{"prompt": "what is {0}", "completion": "{0}"}}\n'
    rows.write_text("".join(map(line.format, range(7))))
    for part in (tiny_model(), tiny_tokenizer()):
        part.save_pretrained(tmp_path / "model")
    more = {"model": str(tmp_path / "model"), "data": str(rows), "test_harmful": str(rows)}
    more |= {"test_safe": str(rows), "test_task": str(rows), "epochs": 2.0}
    for steps in (3, None):
        notes = auto._field(config(tmp_path, **more, max_steps=steps)).notes
        assert any("`epochs` (2) is unread" in note for note in notes) == (steps == 3)
