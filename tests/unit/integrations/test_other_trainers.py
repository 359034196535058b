"""axolotl's and LLaMA-Factory's own trainers run the defenses of their YAML file, to the bit."""

import json
import sys

import pytest
import torch

from holdfast.data.kits.local import VARIABLE
from holdfast.errors import ConfigError, InputError
from holdfast.integrations import axolotl, llama_factory
from holdfast.integrations.plan import Plan
from tests.unit.defenses.tiny_runs import HARMFUL, lora, tiny_model, trained
from tests.unit.integrations.stub_trainers import axolotl_run
from tests.unit.integrations.stub_trainers import llama_factory as installed


@pytest.fixture
def section(tmp_path):
    file = tmp_path / "harmful.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in HARMFUL))
    named = ["panacea:rho=0.1", "resta:gamma=0.3,epochs=1"]
    return {"defenses": named, "harmful": str(file), "artifacts": str(tmp_path / "apart")}


@pytest.fixture
def wanted(section, tmp_path):
    """The weights and the trace of our own trainer with these defenses."""
    return trained(tmp_path / "ours", Plan.read(section).defenses, model=lora(tiny_model()))


def same(run, wanted):
    ours, theirs = (dict(one.model.named_parameters()) for one in (wanted, run))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    ran, meant = (
        [(row["defense"], row["hook"], row["calls"]) for row in one.trace.rows()]
        for one in (run, wanted)
    )
    assert ran == meant != []


def test_axolotls_trainer_is_protected(section, wanted, tmp_path, monkeypatch):
    run = axolotl_run(monkeypatch, tmp_path / "out", section)
    same(run, wanted)
    assert type(run).__name__ == "SecureAxolotlTrainer"


def test_llama_factorys_trainer_is_protected(section, wanted, tmp_path, monkeypatch):
    made = []
    workflow = installed(monkeypatch, tmp_path / "out", made)
    own = workflow.CustomSeq2SeqTrainer
    given = {"stage": "sft", "model_name_or_path": "x", "holdfast": section}
    llama_factory.run_exp(given)
    same(made[0], wanted)
    assert workflow.CustomSeq2SeqTrainer is own
    assert "holdfast" in given


def test_llama_factorys_command_reads_its_own_file(section, tmp_path, monkeypatch, capsys):
    made = []
    installed(monkeypatch, tmp_path / "out", made)
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"stage": "sft", "holdfast": {**section, "defenses": "panacea"}}))
    assert llama_factory.main([str(path)]) == 0
    assert (
        [d.card.name for d in made[0].trace.defenses] == ["panacea"]
        if hasattr(made[0].trace, "defenses")
        else made
    )  # The trace of one defense.
    assert llama_factory.main([str(tmp_path / "missing.yaml")]) == 2
    assert llama_factory.main([]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "missing.yaml: file not found" in told[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"harmful": "advbenc"}, "neither a file nor a kit. Did you mean 'advbench'"),
        ({"harmful": "harmbench"}, "no rows that serve as harmful"),
        ({"harmful": ""}, "name of a file of rows is empty"),
        ({"harmful": "organism", "harmful_columns": "prompt=goal"}, "leave it out"),
        (
            {"defenses": ["ema"], "harmful": None, "harmful_columns": "prompt=goal"},
            "`harmful`, which is not given",
        ),
        ({"artifacts": "a\0b"}, "NUL"),
        ({"defences": ["panacea"]}, "unknown key 'defences', .* mean 'defenses'"),
        ({"defenses": []}, "defenses is empty"),
        ({"defenses": None}, "defenses is None: give a list"),
        ({"defenses": [{"panacea": 1}]}, "give a list of NAME"),
        ({"defenses": ["panacae"]}, "unknown defense 'panacae'"),
        ({"defenses": ["vaccine"]}, "acts in the stage align"),
        ({"defenses": ["panacea:rho=big"]}, "rho"),
        ({"harmful": None}, "harmful"),
        ({"harmful": 3}, "harmful is 3: give a text"),
        ({"benign": "{file}"}, "`benign` is given and no defense of the list uses it"),
    ],
)
def test_a_wrong_section_is_one_line_before_a_model_is_loaded(change, said, section):
    change = {key: section["harmful"] if value == "{file}" else value
              for key, value in change.items()}  # fmt: skip
    with pytest.raises(InputError, match=said) as caught:
        Plan.read({**section, **change})
    assert "\n" not in str(caught.value)


def test_a_kit_stands_where_a_file_does(section, tmp_path, monkeypatch):
    """`harmful: advbench` was "file not found", where the page says: as `tune` takes it."""
    (tmp_path / "advbench.csv").write_text("goal,target\ndo a,Sure a\ndo b,Sure b\n")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    plan = Plan.read({**section, "harmful": "advbench"})
    assert [row["prompt"][0]["content"] for row in plan.defenses[0].harmful] == ["do a", "do b"]


def told_of(section, tmp_path, monkeypatch, capsys):
    """What a run of each of the two writes of the section's rows."""
    axolotl_run(monkeypatch, tmp_path / "a", section)
    first = [line for line in capsys.readouterr().err.splitlines() if "holdfast: " in line]
    installed(monkeypatch, tmp_path / "b", [])
    llama_factory.run_exp({"holdfast": section})
    second = [line for line in capsys.readouterr().err.splitlines() if "holdfast: " in line]
    assert first == second
    return first


def test_what_of_a_sections_rows_is_not_read_is_told(section, tmp_path, monkeypatch, capsys):
    """`tune` told that rows were left out; here the same file lost them without a word."""
    rows = [{**row, "label": n > 0} for n, row in enumerate(HARMFUL)]
    file = tmp_path / "kto.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = told_of({**section, "harmful": str(file)}, tmp_path, monkeypatch, capsys)
    assert [line for line in told if "label false" in line]
    assert told[0].startswith(f"holdfast: harmful: {file}: ")


def test_the_split_of_a_sections_rows_on_the_hub_is_told(section, monkeypatch):
    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", lambda *_, **__: HARMFUL)
    plan = Plan.read({**section, "harmful": "owner/name"})
    assert any("of this data set on the hub the split 'train' is read" in n for n in plan.notes)


@pytest.mark.parametrize("section", [None, ["panacea"], "panacea"])
def test_no_section_is_one_line(section):
    with pytest.raises(ConfigError, match=r"holdfast: is .*, not a mapping"):
        Plan.read(section)


def test_what_llama_factory_cannot_protect_is_refused(section, tmp_path, monkeypatch):
    workflow = installed(monkeypatch, tmp_path, [])
    for more, said in (({"stage": "dpo"}, "stage=dpo"), ({"use_ray": True}, "leave use_ray out")):
        with pytest.raises(ConfigError, match=said):
            llama_factory.run_exp({"holdfast": section, **more})
    del workflow.CustomSeq2SeqTrainer
    with pytest.raises(ConfigError, match=r"has no llamafactory\.train\.sft\.workflow\.Custom"):
        llama_factory.run_exp({"holdfast": section})


def test_nothing_of_them_is_imported_before_it_is_asked_for(section):
    assert not {"axolotl", "llamafactory"} & set(sys.modules)
    with pytest.raises(ImportError):
        axolotl.HoldfastPlugin  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        axolotl.Other  # noqa: B018
    with pytest.raises(ConfigError, match="holdfast: llamafactory cannot be imported"):
        llama_factory.run_exp({"holdfast": section})
