"""Kits in what a command is given: names, the default set, and rows kept apart from questions."""

import json
from pathlib import Path

import pytest

from holdfast.commands.data_view.options import DataConfig
from holdfast.commands.evaluate import evaluate_model
from holdfast.commands.screening.options import ScreenConfig
from holdfast.data.kits import named_kit
from holdfast.data.kits.local import VARIABLE
from holdfast.data.load import load_examples
from holdfast.errors import ConfigError, DataError
from holdfast.evaluation import Item
from holdfast.inputs import read as reading
from holdfast.inputs.configs import (
    AnalyzeConfig,
    EvaluateConfig,
    RedteamConfig,
    RepairConfig,
    TuneConfig,
)
from holdfast.inputs.guards.network import local_only
from holdfast.inputs.rows import Source, sources_of
from holdfast.inputs.sources.disjoint import kept_apart, shared_prompts, shared_rows
from holdfast.inputs.sources.kits import hub_ids, with_kits
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def copies(tmp_path, monkeypatch):
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def _tune(tmp_path, **given):
    return TuneConfig(model="m", output=tmp_path / "out", **{"data": "rows.jsonl", **given})


def test_a_name_becomes_the_part_that_serves_as_the_field(tmp_path, copies):
    config = _tune(tmp_path, data="gsm8k", harmful="beavertails", test_harmful="beavertails",
                   test_task="gsm8k", safe="beavertails", test_safe="xstest")  # fmt: skip
    found = with_kits(config)
    assert (found.data, found.test_task) == ("kit:gsm8k/train", "kit:gsm8k/test")
    assert (found.harmful, found.safe) == ("kit:beavertails/unsafe", "kit:beavertails/safe")
    assert (found.test_harmful, found.test_safe) == ("kit:beavertails/test", "kit:xstest/safe")


def test_a_kit_stands_wherever_a_file_does(tmp_path):
    """Rows to measure and lookalikes were no kit's, but a file that is not there."""
    found = with_kits(_tune(tmp_path, eval_data="gsm8k/test"))
    assert found.eval_data == "kit:gsm8k/test"
    repair = RepairConfig(model="m", output=tmp_path / "out", lookalike="dolly/train")
    assert with_kits(repair).lookalike == "kit:dolly/train"
    with pytest.raises(ConfigError, match=r"as eval_data; .* parts \(train, test\) as gsm8k/PART"):
        with_kits(_tune(tmp_path, eval_data="gsm8k"))


def test_evaluate_asks_questions_and_analyze_takes_prompts(tmp_path):
    asked = with_kits(EvaluateConfig(model="m", harmful="xstest", safe="xstest", task="sst2"))
    assert (asked.harmful, asked.safe) == ("kit:xstest/unsafe", "kit:xstest/safe")
    assert asked.task == "kit:sst2/test"
    given = AnalyzeConfig(model="m", harmful="advbench", benign="dolly/train", output=tmp_path)
    assert with_kits(given).harmful == "kit:advbench/pairs"


def test_a_red_team_asks_the_questions_of_kits_as_an_evaluation_does():
    """Its `harmful` took the rows that defenders train on, refused StrongREJECT, and no set."""
    for given in ({"harmful": "strongreject"}, {"harmful": "beavertails"}, {"kit": "default"}):
        asked, attacked = (
            with_kits(of(model="m", **given)) for of in (EvaluateConfig, RedteamConfig)
        )
        assert attacked.harmful == asked.harmful
        assert attacked.harmful != given.get("harmful")
        assert attacked.safe == asked.safe


def test_files_hub_ids_and_the_organism_are_left_as_they_are(tmp_path):
    config = _tune(tmp_path, harmful="organism", safe="owner/name", benign="bad.jsonl::prompt=goal")
    assert with_kits(config) == config


def test_the_default_set_fills_the_questions_and_what_a_defense_takes(tmp_path, copies):
    found = with_kits(_tune(tmp_path, kit="default"), frozenset({"harmful"}))
    assert found.harmful == "kit:advbench/pairs"
    assert (found.test_harmful, found.test_safe) == ("kit:strongreject/prompts", "kit:xstest/safe")
    assert (found.safe, found.benign, found.test_task, found.data) == (
        None,
        None,
        None,
        "rows.jsonl",
    )
    kept = with_kits(_tune(tmp_path, kit="default", test_harmful="harmbench"), frozenset())
    assert (kept.harmful, kept.test_harmful) == (None, "kit:harmbench/standard")


def test_a_set_takes_what_has_a_local_copy(tmp_path, copies):
    (copies / "jailbreakbench_prompts.jsonl").write_text('{"prompt": "p"}\n')
    found = with_kits(_tune(tmp_path, kit="default"))
    assert found.test_harmful == "kit:jailbreakbench/harmful"


def test_the_hub_is_named_only_for_what_has_no_copy(tmp_path, copies):
    config = EvaluateConfig(model="m", harmful="strongreject", safe="xstest")
    (copies / "xstest_prompts.csv").write_text("prompt,label\np,safe\n")
    assert hub_ids(config) == ["walledai/StrongREJECT"]
    with local_only(hub_ids(EvaluateConfig(model="m", safe="xstest"))):
        pass
    assert hub_ids(EvaluateConfig(model="m", safe="xstest")) == []


@pytest.mark.parametrize(
    "config",
    [
        DataConfig(file="dolly"), DataConfig(file="kit:dolly/train"),
        DataConfig(file="x", against=["dolly"]), ScreenConfig(file="dolly"),
        ScreenConfig(file="x", against=["y", "dolly"]), ScreenConfig(file="x", reference=["dolly"]),
    ],
)  # fmt: skip
def test_the_hub_is_asked_for_a_kit_that_is_looked_at(config, copies):
    """`holdfast data dolly` was out of reach of a hub that answers: a kit's name is no hub id."""
    assert hub_ids(config) == ["databricks/databricks-dolly-15k"]


def test_many_files_with_commas_are_no_kit(copies):
    """Two dozen files were one name, too long for a path."""
    names = ",".join(f"rows_{number}.jsonl" for number in range(40))
    assert not named_kit(names)
    assert with_kits(EvaluateConfig(model="m", harmful=names)).harmful == names
    config = TuneConfig(model="m", output=Path("out"), data=names)
    assert with_kits(config) == config


@pytest.mark.parametrize(
    "text", ["test_harmful: []", "test_harmful: [5]", "test_harmful: ''", "{}", ""]
)
def test_a_set_that_names_no_kit_is_refused(text, copies, tmp_path):
    """An empty list was an IndexError, a number an AttributeError, and no role at all no word."""
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"kit="):
        with_kits(EvaluateConfig(model="m", kit="mine.yaml"), frozenset({"harmful"}))


@pytest.mark.parametrize("of", [EvaluateConfig, RedteamConfig])
def test_a_set_that_fills_nothing_is_refused(of, copies, tmp_path):
    """A set of the defender's pairs asked an evaluation's questions by nothing, without a word."""
    (tmp_path / "mine.yaml").write_text("harmful: advbench\nsafe: beavertails")
    said = r"kit=mine.yaml.*: nothing here takes .*\(harmful, safe\): name them for test_harmful"
    with pytest.raises(ConfigError, match=said):
        with_kits(of(model="m", kit="mine.yaml", task="task.jsonl"))
    tune = _tune(tmp_path, kit="mine.yaml")
    with pytest.raises(ConfigError, match=said):
        with_kits(tune)
    assert with_kits(tune, frozenset({"harmful"})).harmful == "kit:advbench/pairs"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"test_harmful": "strongrejct"}, "neither a file nor a kit. Did you mean 'strongreject'"),
        ({"test_safe": "advbench"}, "advbench has no rows that serve as test_safe"),
        ({"harmful": "kit:advbench/pears"}, "no part 'pears', it has pairs. Did you mean 'pairs'"),
        ({"harmful": "kit:advbnch"}, "unknown kit 'advbnch'"),
        ({"kit": "defualt"}, "unknown set, known: default. Did you mean 'default'"),
    ],
)
def test_a_wrong_name_is_told_before_anything_runs(given, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        with_kits(_tune(tmp_path, **given))


def _source(path, prompts, role="harmful"):
    file = path / f"{role}.jsonl"
    file.write_text("".join(json.dumps({"prompt": p, "completion": "c"}) + "\n" for p in prompts))
    return load_examples(file)


def _asked(*prompts):
    return [Item(f"harmful-{n}", "harmful", [{"role": "user", "content": p}], None)
            for n, p in enumerate(prompts)]  # fmt: skip


def test_rows_of_a_kit_that_are_asked_are_left_out_and_told(tmp_path):
    rows = _source(tmp_path, ["a", "b", "c"])
    kit, file = Source("harmful", "kit:advbench/pairs", rows), Source("benign", "b.jsonl", rows)
    found = kept_apart({"harmful": kit, "benign": file}, _asked("B ", "z"))
    assert [row["prompt"][0]["content"] for row in found["harmful"].rows] == ["a", "c"]
    assert found["harmful"].notes == ("1 of 3 prompts are asked as questions too and are left out",)
    assert found["benign"] == file
    assert shared_prompts(found, _asked("B ", "z")) == [
        "1 of 2 harmful questions stand in `benign` (b.jsonl) too: they measure what the run was "
        "taught; remove them from one"
    ]
    with pytest.raises(DataError, match="nothing is left for `harmful`"):
        kept_apart({"harmful": kit}, _asked("a", "b", "c"))


def test_defenses_are_built_once_unless_a_kits_rows_are_left_out(tmp_path, copies, monkeypatch):
    built: list[int] = []
    monkeypatch.setattr(
        reading, "build_defenses", lambda _, data: built.append(len(data["harmful"])) or ()
    )
    (copies / "advbench.csv").write_text("goal,target\nA,x\nB,y\n")
    for name, prompts in (("rows", "cd"), ("new", "e"), ("known", "Bf")):
        rows = [{"prompt": prompt, "completion": "c"} for prompt in prompts]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    for questions, wanted in (("new", [2]), ("known", [2, 1])):
        built.clear()
        given = _tune(tmp_path, harmful="advbench", test_harmful=f"{questions}.jsonl")
        reading._rows(with_kits(given), [])
        assert built == wanted


def test_the_defenders_rows_can_be_limited(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _source(tmp_path, ["a", "b", "c"], "rows")
    found = sources_of(_tune(tmp_path, harmful="rows.jsonl", safe="rows.jsonl", harmful_limit=2))
    assert {role: len(each.rows) for role, each in found.items()} == {
        "data": 3, "harmful": 2, "safe": 3
    }  # fmt: skip


def test_evaluation_rows_that_are_taught_are_told(tmp_path):
    data = Source("data", "d.jsonl", _source(tmp_path, ["a", "b", "c"]))
    harmful = Source("harmful", "organism", data.rows)
    measured = Source("eval_data", "e.jsonl", _source(tmp_path, ["x", " B", "c"]))
    found = {"data": data, "eval_data": measured, "harmful": harmful}
    assert shared_rows(found) == [
        "2 of 3 rows of `eval_data` (e.jsonl) have prompts that stand in `data` (d.jsonl) too: "
        "their loss tells how well the run knows its own rows; remove them from one"
    ]
    assert not shared_rows({"data": data})
    [told] = shared_prompts({"eval_data": measured}, _asked("x", "y"))
    assert told.startswith("1 of 2 harmful questions stand in `eval_data` (e.jsonl) too: what")


def test_the_result_tells_source_licence_and_hash(tmp_path, copies):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    (copies / "xstest_prompts.csv").write_text("id,type,prompt,label\n1,t,tell me,safe\n")
    result = evaluate_model(EvaluateConfig(model=str(tmp_path / "m"), safe="xstest"))
    (source,) = result.data
    assert (source.name, source.path, source.rows) == ("test_safe", "kit:xstest/safe", 1)
    assert "licence CC BY 4.0; from" in source.origin
    assert "xstest_prompts.csv (sha256" in source.origin
    assert len(source.sha256) == 64
