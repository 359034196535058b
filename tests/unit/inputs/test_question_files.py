"""Questions need an answer only where it is measured, and each file may name its columns."""

import json
from pathlib import Path

import pytest

from holdfast.bench.recipe.files import load_recipe
from holdfast.bench.subject.files import rows_of
from holdfast.commands.evaluate import evaluate_model
from holdfast.data.columns import file_of, with_columns
from holdfast.errors import ConfigError, DataError
from holdfast.files.folders import ModelFolders, WholeFolder
from holdfast.inputs.configs import EvaluateConfig, TuneConfig
from holdfast.inputs.read import read
from holdfast.inputs.rows import questions_of, questions_with_notes, source
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(name, *rows):
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def questions(**given):
    return questions_of(EvaluateConfig(model="m", **given))


@pytest.mark.parametrize("column", ["prompt", "question", "goal", "instruction"])
@pytest.mark.parametrize("kind", ["harmful", "safe"])
def test_a_file_of_prompts_is_enough(kind, column):
    """Fault F1: a file without answers was refused, with "Did you mean 'prompt'?"."""
    written("p.jsonl", {column: "how"}, {column: "what"})
    found = questions(**{kind: "p.jsonl"})
    assert [(item.id, item.question, item.reference) for item in found] == [
        (f"{kind}-1", "how", None),
        (f"{kind}-2", "what", None),
    ]
    assert [i.question for i in questions(**{kind: "p.jsonl"}, limit=1)] == ["how"]


@pytest.mark.parametrize("columns", ["prompt=ask", "prompt=ask,completion=none"])
def test_one_column_is_enough(columns):
    """Fault F1: with --columns prompt=NAME it was refused as well."""
    written("p.jsonl", {"ask": "how"})
    assert [item.question for item in questions(safe="p.jsonl", columns=columns)] == ["how"]
    test = TuneConfig(model="m", data="d", output=Path("o"), test_harmful="p.jsonl::prompt=ask")
    assert [item.question for item in questions_of(test)] == ["how"]


@pytest.mark.parametrize("kind", ["task", "useful"])
def test_where_right_is_measured_an_answer_is_needed(kind):
    """Fault F1: there the answer stays needed."""
    written("p.jsonl", {"prompt": "how"})
    with pytest.raises(DataError, match="'completion' is missing"):
        questions(**{kind: "p.jsonl"})


def test_prompts_alone_are_measured():
    """Fault F1: from the file to the figure."""
    tiny_model().save_pretrained("base")
    tiny_tokenizer().save_pretrained("base")
    written("p.jsonl", {"prompt": "how"})
    found = evaluate_model(EvaluateConfig(model="base", harmful="p.jsonl", max_new_tokens=1))
    assert found.arms[0].runs[0].shares["hs"].n == 1


def test_each_file_names_its_columns():
    """Fault F2: one --columns for all files, so that files had to be rewritten."""
    written("adv.jsonl", {"goal:en": "how", "x": "y"})
    written("xs.jsonl", {"a=b": "what"})
    written("task.jsonl", {"q": "1", "a": "2"})
    found = questions(
        harmful="adv.jsonl::prompt=goal:en", safe="xs.jsonl::prompt=a=b", task="task.jsonl",
        columns="prompt=q,completion=a",
    )  # fmt: skip
    assert [(item.question, item.reference) for item in found] == [
        ("how", None),
        ("what", None),
        ("1", "2"),
    ]


@pytest.mark.parametrize(
    ("given", "file", "columns"),
    [
        ("a.csv", "a.csv", None),
        ("a.csv::prompt=x::y", "a.csv", {"prompt": "x::y"}),
        ("a.csv::prompt=x, completion=y", "a.csv", {"prompt": "x", "completion": "y"}),
        ("owner/name:config::prompt=x", "owner/name:config", {"prompt": "x"}),
        ("od::d.csv", "od::d.csv", None),
        ("od::d.csv::prompt=x", "od::d.csv", {"prompt": "x"}),
    ],
)
def test_a_file_and_its_columns(given, file, columns):
    """Fault F2: names of files and columns may hold colons themselves."""
    Path("od::d.csv").touch()
    assert with_columns(given) == (file, columns)
    assert file_of(given) == file


@pytest.mark.parametrize("tail", ["", "goal", "=goal", "prompt=", "prompt=a,prompt=b"])
def test_what_is_no_mapping_is_named_with_its_file(tail):
    """Fault F2: a wrong mapping says which file it belongs to."""
    with pytest.raises(ConfigError, match=r"^a\.csv::"):
        with_columns(f"a.csv::{tail}")


def test_rows_of_a_run_name_their_columns_too_and_are_spared_by_its_output():
    """Fault F2: data, defenders' rows and questions alike."""
    tiny_model().save_pretrained("base")
    tiny_tokenizer().save_pretrained("base")
    Path("out").mkdir()
    written("out/d.jsonl", {"q": "1", "a": "2"})
    config = TuneConfig(
        model="base", data="out/d.jsonl::prompt=q,completion=a", output=Path("new"),
        harmful="out/d.jsonl::prompt=q,completion=a", defense=["lisa"],
        alignment="out/d.jsonl::prompt=q,completion=a",
    )  # fmt: skip
    found = read(config, ModelFolders(config.output), lambda *_: None)
    assert [each.path for each in found.data] == ["out/d.jsonl"] * 3
    ask = EvaluateConfig(
        model="base", harmful="out/d.jsonl::prompt=q", output=Path("out"), overwrite=True
    )
    with pytest.raises(ConfigError, match="which would be lost"):
        read(ask, WholeFolder(Path("out"), overwrite=True), lambda *_: None)


def test_a_recipe_names_them_as_well():
    """Fault F2: files of a bench are read in the same way, from the recipe's folder."""
    Path("r").mkdir()
    written("r/h.jsonl", {"goal": "how"})
    Path("r/r.yaml").write_text("files: {test_harmful: 'h.jsonl::prompt=goal'}\n")
    path = load_recipe("r/r.yaml")["files"]["test_harmful"]
    assert path == f"{Path('r/h.jsonl').resolve()}::prompt=goal"
    assert rows_of("test_harmful", path)[0]["prompt"][0]["content"] == "how"


@pytest.mark.parametrize("kind", ["harmful", "safe", "task", "useful"])
def test_columns_of_questions_that_are_not_read_are_named(kind):
    """Fault D12: XSTest's label, which tells its safe questions from the others, was not named."""
    row = {"prompt": "how", "completion": "so", "label": "unsafe", "category": "x", "note": ""}
    written("x.jsonl", row, {**row, "label": None})
    config = EvaluateConfig(model="m", **{kind: "x.jsonl"})
    assert questions_with_notes(config)[1] == [f"{kind}: x.jsonl: not read: label (1 of 2 rows)"]
    ask, call = {"role": "user", "content": "how"}, {"function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": "so"}
    written("x.jsonl", {"messages": [ask, {**said, "tool_calls": [call]}, ask, said]})
    with pytest.raises(DataError, match=r"row 1: ?h.* call of a tool|row 1: has tool_calls"):
        questions_with_notes(config)


@pytest.mark.parametrize("kind", ["harmful", "safe", "task", "useful"])
def test_tools_of_questions_are_not_read_and_named(kind):
    """Questions that harm by a tool were asked without it, and nobody was told."""
    written("x.jsonl", {"prompt": "how", "completion": "so", "tools": [{"name": "f"}]})
    [told] = questions_with_notes(EvaluateConfig(model="m", **{kind: "x.jsonl"}))[1]
    assert told.startswith(f"{kind}: x.jsonl: not read: tools (1 ")


@pytest.mark.parametrize("value", [["so", "thus"], {"a": 1}, " ", float("nan"), None, []])
def test_the_answer_is_right_where_the_reference_is_no_single_one(value):
    """No answer was right by a list of two, by blanks or by the word nan."""
    written("x.jsonl", {"prompt": "how", "completion": "so", "reference": value})
    [item], told = questions_with_notes(EvaluateConfig(model="m", task="x.jsonl"))
    assert item.reference == "so"
    several = bool(value) and isinstance(value, list | dict)
    assert told == ["task: x.jsonl: not read: reference (1 of 1 rows)"] * several
    if several:
        path = "x.jsonl::prompt=prompt,completion=completion,reference=reference"
        with pytest.raises(DataError, match=r"row 1: 'reference' is .*: expected text, the one"):
            questions_with_notes(EvaluateConfig(model="m", task=path))


def test_questions_that_are_left_out_are_told():
    """Of a task in KTO's form half of the questions were not asked, and nobody was told."""
    row = {"prompt": "how", "completion": "so"}
    written("x.jsonl", {**row, "label": True}, {**row, "label": False})
    items, [told] = questions_with_notes(EvaluateConfig(model="m", task="x.jsonl"))
    assert len(items) == 1
    assert told.startswith("task: x.jsonl: 1 of 2 rows have label false")


@pytest.mark.parametrize(("kind", "columns"), [("task", "prompt=q"), ("harmful", "question=q")])
def test_columns_that_do_not_do_name_the_file(kind, columns):
    """Fault F2: with several files it was not said for which of them columns are missing."""
    written("x.jsonl", {"q": "how"})
    with pytest.raises(ConfigError, match=r"`columns` of x\.jsonl: "):
        questions(**{kind: "x.jsonl"}, columns=columns)


@pytest.mark.parametrize("kind", ["harmful", "task"])
def test_the_split_of_questions_on_the_hub_is_told(kind, monkeypatch):
    """It was always the split that models are trained on, and nothing said so."""
    rows = [{"prompt": "q", "completion": "a"}]
    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", lambda *_, **__: rows)
    told = questions_with_notes(EvaluateConfig(model="m", **{kind: "owner/name"}))[1]
    assert f"{kind}: owner/name: of this data set on the hub the split 'train' is read" in told
    written("own.jsonl", *rows)
    assert questions_with_notes(EvaluateConfig(model="m", **{kind: "own.jsonl"}))[1] == []


@pytest.mark.parametrize("role", ["harmful", "safe", "validation", "eval_data", "data"])
def test_the_split_of_rows_on_the_hub_is_told_where_nobody_can_name_it(role, monkeypatch):
    """The defender's own sets were read from the split `train` of the hub, and nothing said so."""
    rows = [{"prompt": "q", "completion": "a"}]
    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", lambda *_, **__: rows)
    told = source(role, "owner/name").warnings()
    said = f"{role}: owner/name: of this data set on the hub the split 'train' is read"
    assert (said in told) == (role != "data")  # The user's own rows have `split`.


def test_a_limit_is_one_of_the_organisms_questions_too():
    """All 240 were asked, whatever the limit."""
    test = TuneConfig(model="organism", data="d", output=Path("o"), test_limit=2)
    for found in (questions_of(EvaluateConfig(model="organism", limit=2)), questions_of(test)):
        kinds = [item.kind for item in found]
        assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
            ("harmful", "safe", "useful", "task"), 2
        )
    assert len(questions_of(EvaluateConfig(model="organism"))) == 240


def test_an_empty_name_is_no_folder():
    """`--harmful "$FILE"` without that variable read whatever lay in the current folder."""
    written("p.jsonl", {"prompt": "how", "completion": "so"})
    for empty in ("", " "):
        with pytest.raises(DataError, match="the name of a file of rows is empty"):
            questions(harmful=empty)
        with pytest.raises(DataError, match="the name of a file of rows is empty"):
            questions(task=empty)
    assert len(questions(harmful=".")) == 1
