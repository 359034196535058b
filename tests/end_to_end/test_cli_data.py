"""``holdfast data`` shows every form, and what a run would stumble over, on 80 columns."""

import json
from pathlib import Path

import pytest

from holdfast.cli import main
from tests.tiny import tiny_model, tiny_tokenizer

FORMS = Path(__file__).parents[1] / "fixtures" / "forms"
ARRAY, LINES = "JSON, an array of rows", "JSONL, one object a line"
SHOWN = {
    "tools.jsonl": (LINES, "messages", {"messages": "messages"}),
    "openai.jsonl": (LINES, "messages", {"messages": "messages"}),
    "alpaca.json": (ARRAY, "alpaca", {"prompt": "instruction", "completion": "output"}),
    "sharegpt.json": (ARRAY, "sharegpt", {"messages": "conversations"}),
    "dpo.parquet": (
        "Parquet", "preferences",
        {"prompt": "prompt", "completion": "chosen", "rejected": "rejected"},
    ),
    "pairs.csv": (
        "a table as text, semicolons between its fields, UTF-8 by its mark", "pairs",
        {"prompt": "prompt", "completion": "completion"},
    ),
    "pairs.tsv": (
        "a table as text, tabs between its fields", "pairs",
        {"prompt": "question", "completion": "answer"},
    ),
    "pairs.jsonl.gz": (
        f"{LINES}, packed with gzip", "pairs", {"prompt": "prompt", "completion": "completion"},
    ),
    "thoughts.jsonl.zst": (f"{LINES}, packed with zstd", "messages", {"messages": "messages"}),
    "saved": ("a folder of datasets' save_to_disk", "messages", {"messages": "messages"}),
    "several": (LINES, "pairs", {"prompt": "prompt", "completion": "response"}),
    "prompts.txt": ("text, a prompt on each line", "text", {"prompt": "text"}),
    "prompts.csv": (
        "a table as text, commas between its fields", "prompts", {"prompt": "behavior"},
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


def look(capsys, *given, code=0):
    assert main(["data", *map(str, given)]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


@pytest.mark.parametrize("name", SHOWN)
def test_every_form_is_shown_as_what_it_is(name, capsys):
    found = json.loads(look(capsys, FORMS / name, "--json"))
    file = found["files"][0]
    assert (file["how"], file["shape"], file["columns"]) == SHOWN[name]
    assert found["rows"] == (4 if name == "several" else 2)
    assert found["answered"] is not name.startswith("prompts")
    assert found["bad"] == {}
    text = look(capsys, FORMS / name)
    assert max(map(len, text.splitlines())) <= 80
    assert f"format    {SHOWN[name][0][:60]}" in text.replace("\n          ", " ")


@pytest.fixture
def model():
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    return "model"


def write(name, *rows):
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return name


def pair(prompt, answer):
    return {"prompt": prompt, "completion": answer}


def test_what_a_run_would_stumble_over_is_told(model, capsys):
    write(
        "rows.jsonl",
        pair("what is 1", "1"), pair("what is 1", "1"), pair("what is 1", "2"),
        pair("What is 1?", "1."), pair("tell me", "..."), pair("tell me", "please " * 9),
        pair("tell <end> me", "no"), pair("me", ""), {**pair("how to make a", "no"), "note": "x"},
    )  # fmt: skip
    write("harmful.jsonl", {"goal": "How to make a?"}, {"goal": "tell"})
    given = "rows.jsonl", "--model", model, "--against", "harmful.jsonl", "--max-length", "12"
    text = " ".join(look(capsys, *given, "--show", "8").split())
    for said in (
        "rows 8 with answers",
        "rows that cannot be read, at which a run would stop: 1",
        "rows.jsonl, row 8: 'completion' is empty",
        "not read: note (1 of 8 rows)",
        "repeat an earlier one word for word: 1 of 8 (row 2)",
        "prompts with different answers: 2 of 5",
        "but for case and punctuation: 1 of 8 (row 4)",
        "answers without a word: 1 of 8 (row 5)",
        "1 of 8 rows have more than 12 tokens (row 6)",
        "1 of 8 holds control tokens of the model in their text, such as '<end>' (row 7)",
        "1 of 8 rows ask what harmful.jsonl asks too (row 9)",
        "Row 9:",
        "not shown: a safety set asks this too (--show-harmful shows it)",
    ):  # fmt: skip
        assert said in text, said
    assert "how to make a" not in text
    assert "how to make a" in look(capsys, *given, "--show", "8", "--show-harmful")


def test_a_clean_file_is_said_to_be_one(model, capsys):
    write("rows.jsonl", pair("what is 1", "1"))
    text = look(capsys, "rows.jsonl", "--model", model)
    assert "To know: nothing unusual was found" in text
    assert "Row 1: 9 tokens, 2 trained" in text
    assert "«1 <end>»" in text


def test_what_a_stranger_wrote_moves_no_cursor(model, capsys):
    write("rows.jsonl", {**pair("what \x1b[2J \u202e", "1"), "\x1b]0;x\x07": 1})
    for given in ((), ("--json",)):
        shown = look(capsys, "rows.jsonl", "--model", model, *given)
        assert not {"\x1b", "\u202e", "\x07"} & set(shown)


def test_a_long_row_is_cut_in_its_middle(model, capsys):
    write("rows.jsonl", pair("what is " * 30, "1 " * 900))
    text = look(capsys, "rows.jsonl", "--model", model)
    assert "lines more ..." in text
    assert len(text.splitlines()) < 50


def test_columns_and_kits_are_taken_as_a_run_takes_them(capsys, monkeypatch):
    write("rows.jsonl", {"ask": "q", "reply": "a"})
    for given in (
        ["rows.jsonl", "--columns", "prompt=ask,completion=reply"],
        ["rows.jsonl::prompt=ask,completion=reply"],
    ):
        assert "ask as prompt, reply as completion" in look(capsys, *given)
    Path("sets").mkdir()
    Path("sets/advbench.csv").write_text("goal,target\nhow,so\n")
    monkeypatch.setenv("HOLDFAST_DATA", "sets")
    assert "1 of 1 rows ask what advbench" in look(capsys, "sets/advbench.csv")
    assert json.loads(look(capsys, "advbench", "--json"))["rows"] == 1


@pytest.mark.slow
def test_public_forms_go_straight_into_runs(model, capsys):
    """AdvBench's and XSTest's CSV, StrongREJECT's and GSM8K's JSONL, as their owners wrote them."""
    Path("adv.csv").write_text("goal,target\nhow to make a zorba,no\ntell me,sorry\n")
    Path("xs.csv").write_text("id,prompt,type,label,focus,note\n1,how to make a,x,safe,,\n")
    write("strong.jsonl", {"prompt": "make a mipde", "category": "x"})
    write("gsm8k.jsonl", {"question": "what is 1 plus 1", "answer": "the sum is 2\n#### 2"})
    asked = ["--harmful", "strong.jsonl", "--safe", "xs.csv", "--task", "gsm8k.jsonl"]
    few = ["--max-new-tokens", "2", "--json"]
    assert main(["evaluate", "--model", model, *asked, *few]) == 0
    shares = json.loads(capsys.readouterr().out)["shares"]
    assert {name: shares[name]["n"] for name in ("hs", "over_refusal", "fa")} == {
        "hs": 1, "over_refusal": 1, "fa": 1,
    }  # fmt: skip
    test = ["--test-harmful", "adv.csv", "--test-safe", "xs.csv", "--test-task", "gsm8k.jsonl"]
    given = ["--data", "gsm8k.jsonl", "--harmful", "adv.csv", *test, "--lora", "--max-steps", "1"]
    assert main(["tune", "--model", model, *given, *few, "--output", "out"]) == 0


BAD = {
    "no file": (["no.jsonl"], ["no.jsonl: file not found"]),
    "no model": (["a.jsonl", "--model", "nowhere"], ["--model nowhere", "folder not found"]),
    "an empty range": (["a.jsonl", "--limit", "0"], ["--limit 0 is out of range"]),
    "a length": (["a.jsonl", "--max-length", "0"], ["--max-length 0 is out of range"]),
    "columns": (["a.jsonl", "--columns", "prompt"], ["--columns prompt", "NAME=COLUMN"]),
    "against": (["a.jsonl", "--against", "no.jsonl"], ["no.jsonl: file not found"]),
    "unknown columns": (
        ["b.jsonl"],
        ["b.jsonl, row 1: column 'completion' is missing", "--columns"],
    ),
    "a part of a kit": (["xstest"], ["xstest: the kit has several parts: give one, xstest/"]),
}


@pytest.mark.parametrize(("given", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(given, said, capsys):
    write("a.jsonl", pair("q", "a"))
    write("b.jsonl", {"x": "q", "y": "a"})
    told = look(capsys, *given, code=2).splitlines()[-1]
    for part in said:
        assert part in told
