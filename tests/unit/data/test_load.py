import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holdfast.data.load import load_examples
from holdfast.data.rows import is_hub_id
from holdfast.errors import ConfigError, DataError

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
PAIR = {"prompt": "q", "completion": "a"}


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ANSWER]},
        PAIR,
        {"prompt": [USER], "completion": [ANSWER]},
        {"prompt": [USER], "completion": "a"},
        {"question": "q", "answer": "a"},
        {"goal": "q", "target": "a"},
    ],
)
def test_every_form_becomes_the_one_form(tmp_path, row):
    loaded = load_examples(jsonl(tmp_path / "d.jsonl", row, row))
    assert len(loaded) == 2
    assert loaded[1]["prompt"] == [USER]
    assert loaded[1]["completion"] == [ANSWER]
    assert loaded[1]["row"] == 2


def test_all_but_the_last_message_are_the_prompt(tmp_path):
    talk = [{"role": "system", "content": "s"}, USER, ANSWER, USER, ANSWER]
    loaded = load_examples(jsonl(tmp_path / "d.jsonl", {"messages": talk}))
    assert loaded[0]["prompt"] == talk[:-1]


def test_columns_are_mapped_and_known_extras_pass_through(tmp_path):
    row = {"ask": "q", "reply": "a", "id": 7, "category": "c", "other": {"x": 1}}
    columns = {"prompt": "ask", "completion": "reply"}
    loaded = load_examples(jsonl(tmp_path / "d.jsonl", row), columns=columns)
    assert loaded[0] == {
        "prompt": [USER], "completion": [ANSWER], "rich": None, "row": 1,
        "id": "7", "category": "c", "reference": None,
    }  # fmt: skip


def test_csv_and_parquet_hold_the_same(tmp_path):
    with (tmp_path / "d.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["prompt", "completion"], ["q, one\ntwo", "a"], ["q", 'a "b"']])
    rows = [
        {"prompt": "q, one\ntwo", "completion": "a"},
        {"prompt": "q", "completion": 'a "b"'},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    jsonl(tmp_path / "d.jsonl", *rows)
    one, two, three = (
        load_examples(tmp_path / f"d.{kind}").to_list() for kind in ("csv", "parquet", "jsonl")
    )
    assert one == two == three


def test_blank_lines_are_skipped_and_keep_the_numbers(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(f"{json.dumps(PAIR)}\n\n{json.dumps(PAIR)}\n\n")
    assert load_examples(path)["row"] == [1, 3]


def test_a_byte_order_mark_is_no_column(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PAIR).encode())
    assert len(load_examples(path)) == 1


def test_limit_stops_before_a_later_fault(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(f"{json.dumps(PAIR)}\nnot json\n")
    assert len(load_examples(path, limit=1)) == 1
    with pytest.raises(ConfigError, match="`limit=0`"):
        load_examples(path, limit=0)


BAD = {
    "malformed": ("{oops}", "is not valid JSON"),
    "an array": ("[1]", "is a JSON array: write one JSON object"),
    "missing column": (json.dumps({"promt": "q", "completion": "a"}), "Did you mean 'promt'"),
    "no columns": ("{}", "columns found: none"),
    "wrong type": (json.dumps({"prompt": 3, "completion": "a"}), "'prompt' is a number"),
    "null answer": (json.dumps({"prompt": "q", "completion": None}), "'completion' is null"),
    "empty answer": (json.dumps({"prompt": "q", "completion": " "}), "'completion' is empty"),
    "empty prompt": (json.dumps({"prompt": "", "completion": "a"}), "'prompt' is empty"),
    "role": (
        json.dumps({"prompt": [{"role": "usr", "content": "q"}], "completion": "a"}),
        "expected system, user, assistant, tool. Did you mean 'user'",
    ),
    "no role": (json.dumps({"prompt": [{"content": "q"}], "completion": "a"}), "must be"),
    "two answers": (json.dumps({"prompt": "q", "completion": [ANSWER, ANSWER]}), "one message"),
    "user answers": (json.dumps({"prompt": "q", "completion": [USER]}), "role 'assistant'"),
    "surrogate": ('{"prompt": "\\ud800", "completion": "a"}', "surrogate"),
    "huge number": (f'{{"prompt": {"9" * 5000}}}', "too large"),
    "deep": ("[" * 100_000, "too large"),
}


@pytest.mark.parametrize(("line", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_named_with_file_and_number(tmp_path, line, said):
    path = tmp_path / "d.jsonl"
    path.write_text(f"{json.dumps(PAIR)}\n{line}\n")
    with pytest.raises(DataError) as caught:
        load_examples(path)
    assert str(caught.value).startswith(f"{path}, row 2: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_TALKS = {
    "last is not the assistant": ([USER, ANSWER, USER], "the last message of 'messages' is from"),
    "empty": ([], "is an empty list"),
    "answer alone": ([ANSWER], "no user message right before the answer"),
    "not a list": ("hello", "is text: expected a list"),
    "not messages": ([1, 2], "message 1 of 'messages' must be"),
}


@pytest.mark.parametrize(("talk", "said"), BAD_TALKS.values(), ids=BAD_TALKS.keys())
def test_a_bad_conversation_is_named(tmp_path, talk, said):
    path = jsonl(tmp_path / "d.jsonl", {"messages": [USER, ANSWER]}, {"messages": talk})
    with pytest.raises(DataError, match="row 2: ") as caught:
        load_examples(path)
    assert said in str(caught.value)


def test_csv_faults_name_row_and_line(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('prompt,completion\n"two\nlines",a\nq,a,extra\n')
    with pytest.raises(DataError, match=r"row 2 \(line 4\): has 3 fields and the header has 2"):
        load_examples(path)
    path.write_text('prompt,completion\nq,"never closed\n')
    with pytest.raises(DataError, match=r"row 1 \(line 2\): is not valid CSV"):
        load_examples(path)
    path.write_text("prompt,prompt\nq,a\n")
    with pytest.raises(DataError, match="stands twice"):
        load_examples(path)
    path.write_bytes(b"prompt,completion\nq,\xff\n")
    with pytest.raises(DataError, match="UTF-8"):
        load_examples(path)


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_missing_and_empty_files(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(DataError, match="file not found"):
        load_examples(path)
    path.touch()
    with pytest.raises(DataError, match="is empty"):
        load_examples(path)


def test_other_unreadable_files(tmp_path):
    with pytest.raises(DataError, match="the folder holds no data file"):
        load_examples(tmp_path)
    (tmp_path / "d.doc").write_text("x")
    with pytest.raises(DataError, match=r"unknown format '\.doc'"):
        load_examples(tmp_path / "d.doc")
    (tmp_path / "d.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        load_examples(tmp_path / "d.parquet")
    (tmp_path / "d.csv").write_text("prompt,completion\n")
    with pytest.raises(DataError, match="has no rows"):
        load_examples(tmp_path / "d.csv")


@pytest.mark.parametrize(
    "columns",
    [
        {"promt": "a"}, {"prompt": "a"}, {"id": "a"},
        {"prompt": "a", "completion": "a"},  # The prompt was learned as its own answer.
        {"messages": "a", "prompt": "b", "completion": "c"},  # Two of them were left alone.
    ],
)  # fmt: skip
def test_an_unusable_mapping_is_refused(tmp_path, columns):
    with pytest.raises(ConfigError, match="`columns"):
        load_examples(jsonl(tmp_path / "d.jsonl", PAIR), columns=columns)


def test_a_mapping_to_a_missing_column_suggests_the_nearest(tmp_path):
    columns = {"prompt": "question", "completion": "anwser"}
    path = jsonl(tmp_path / "d.jsonl", {"question": "q", "answer": "a"})
    with pytest.raises(DataError, match="Did you mean 'answer'"):
        load_examples(path, columns=columns)


def test_what_is_a_hub_id_and_what_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert is_hub_id("openai/gsm8k")
    assert is_hub_id("openai/gsm8k:main")
    for path in ("data/train", "other/train.jsonl", "/abs/x", "./a/b", "a/b/c", "name", "../x/y"):
        assert not is_hub_id(path), path


def test_offline_is_honored_with_a_clear_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("offline")

    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", refuse)
    with pytest.raises(DataError, match="the hub is out of reach"):
        load_examples("owner/name")


def test_a_hub_set_is_read_like_a_file(monkeypatch):
    seen = []

    def load(*args: object, **kwargs: object) -> list[dict[str, str]]:
        seen.append((args, kwargs))
        return [PAIR, PAIR]

    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", load)
    assert len(load_examples("owner/name:main", split="test")) == 2
    assert seen == [(("owner/name", "main"), {"split": "test"})]


def test_no_path_reaches_the_network(tmp_path, monkeypatch):
    def forbid(*_: object, **__: object) -> None:
        pytest.fail("the hub was asked")

    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", forbid)
    for path in ("missing/train.jsonl", "missing", tmp_path / "x" / "y"):
        with pytest.raises(DataError, match="file not found"):
            load_examples(path)
