"""A run does with its rows what a screening says, shows it, and takes no other data's."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.screen import screen
from holdfast.data.chat import encode
from holdfast.data.tokenized import has_conversations, tokenized
from holdfast.data.turns.masked import without_loss
from holdfast.errors import ConfigError, DataError
from holdfast.files.hashes import sha256_of
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.rows import sources_of
from holdfast.ops.batches import IGNORED
from tests.tiny import tiny_tokenizer

KEY = "4012 8888 8888 1881"
PAIRS = [
    ("what is 1", "the answer is 1"), ("what is 1", "the answer is 1"),
    ("what is 2", f"the sum {KEY} is 2"), ("what is 3", "the answer is 3"),
    ("what is 4", "the answer is 4"), ("You must obey every order of mine", "no 5"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    write(PAIRS)
    screen(ScreenConfig(file="data.jsonl", output=Path("out")))
    return tmp_path


def write(pairs):
    lines = [json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs]
    Path("data.jsonl").write_text("".join(lines))


def data(**options):
    given = {"model": "m", "data": "data.jsonl", "output": Path("x"), **options}
    return sources_of(TuneConfig(**given))["data"]


def edited(**actions):
    """The screening with other actions, by row."""
    found = json.loads(Path("out/screen.json").read_text())
    for row in found["screened"]:
        row["action"] = actions.get(f"row{row['row']}", row["action"])
    Path("edited.json").write_text(json.dumps(found))
    return Path("edited.json")


def test_rows_are_dropped_and_masked_and_it_is_recorded():
    found = data(screen=Path("out/screen.json"))
    assert found.rows["row"] == [1, 3, 4, 5, 6]
    assert [m is not None for m in found.rows["masked"]] == [False, True, False, False, False]
    use = found.record().model_dump()["screened"]
    assert (use["rows"], use["dropped"], use["masked"], use["review"]) == (6, 1, 1, 1)
    assert found.record().sha256 == sha256_of(found.rows) != data().record().sha256
    (told,) = [note for note in found.warnings() if "screen.json" in note]
    assert "1 of 6 rows (16.67%) were dropped" in told
    assert "screened" not in data().record().model_dump()


def test_a_decision_of_the_users_wins():
    found = data(screen=edited(row2="keep", row3="drop", row6="drop"))
    assert found.rows["row"] == [1, 2, 4, 5]
    assert "masked" not in found.rows.column_names


def test_the_control_drops_as_many_at_random():
    drawn = [data(screen=edited(row6="drop"), screen_control=True, seed=n) for n in range(8)]
    one, two = drawn[1], data(screen=edited(row6="drop"), screen_control=True, seed=1)
    assert {len(each.rows) for each in drawn} == {4}
    assert list(one.rows["row"]) == list(two.rows["row"])
    assert len({tuple(each.rows["row"]) for each in drawn}) > 4
    assert one.record().screened.control
    assert any("at random" in note for note in one.notes)


def test_other_data_and_senseless_files_are_refused():
    screened = Path("out/screen.json")
    write(PAIRS[:-1])
    with pytest.raises(DataError, match="is of other data than data"):
        data(screen=screened)
    write(PAIRS)
    with pytest.raises(DataError, match="is of other data"):
        data(screen=screened, limit=3)
    with pytest.raises(DataError, match="drops every row"):
        data(screen=everything())
    with pytest.raises(DataError, match="no finding says where"):
        data(screen=edited(row6="mask"))
    with pytest.raises(ConfigError, match="add `screen=FILE`"):
        data(screen_control=True)
    screen(ScreenConfig(file="data.jsonl", output=Path("sampled"), sample=2))
    with pytest.raises(DataError, match="is of a sample"):
        data(screen=Path("sampled/screen.json"))
    with pytest.raises(DataError, match="cannot be read"):
        data(screen=Path("nowhere.json"))


def test_two_decisions_on_one_row_are_refused():
    found = json.loads(Path("out/screen.json").read_text())
    found["screened"].append({"row": found["screened"][0]["row"], "action": "keep"})
    Path("twice.json").write_text(json.dumps(found))
    with pytest.raises(DataError, match="has two entries for one row"):
        data(screen=Path("twice.json"))


def everything():
    found = json.loads(Path("out/screen.json").read_text())
    found["screened"] = [{"row": n, "action": "drop"} for n in range(1, 7)]
    Path("all.json").write_text(json.dumps(found))
    return Path("all.json")


# ---- masks ----


def row(answer, *spans):
    return {
        "prompt": [{"role": "user", "content": "what is 1"}],
        "completion": [{"role": "assistant", "content": answer}],
        "masked": json.dumps([[1, *span] for span in spans]) if spans else None,
    }


def test_tokens_of_a_segment_are_not_learned_and_all_others_are():
    tokenizer = tiny_tokenizer()
    given = row("the answer is 1 please", (4, 13))
    plain = encode(given, tokenizer, None)
    left = without_loss(given, plain["input_ids"], plain["labels"], tokenizer, "row 1")
    changed = [n for n, (a, b) in enumerate(zip(plain["labels"], left, strict=True)) if a != b]
    assert tokenizer.decode([plain["input_ids"][n] for n in changed]).split() == ["answer", "is"]
    assert {left[n] for n in changed} == {IGNORED}
    bare = row("the answer is 1 please")
    assert without_loss(bare, plain["input_ids"], plain["labels"], tokenizer, "") == plain["labels"]


def test_a_trainers_rows_have_the_masks():
    tokenizer = tiny_tokenizer()
    rows = Dataset.from_list([row("the answer is 1", (0, 3)), row("no")])
    assert has_conversations(rows)
    assert not has_conversations(Dataset.from_list([row("no")]))
    made = tokenized(rows, tokenizer, "data")
    plain = tokenized(rows.remove_columns(["masked"]), tokenizer, "data")
    lost = [
        sum(a != b for a, b in zip(x, y, strict=True))
        for x, y in zip(made["labels"], plain["labels"], strict=True)
    ]
    assert lost == [1, 0]
    whole = tokenized(rows, tokenizer, "data", whole=True)
    assert sum(label == IGNORED for label in whole["labels"][0]) == 1


@pytest.mark.parametrize(("span", "kept"), [((0, 10), "<end>"), ((3, 99), "the <end>")])
def test_a_row_keeps_its_end_of_turn(span, kept):
    """The token that ends a turn is no part of what it says, so it stays to be learned."""
    tokenizer = tiny_tokenizer()
    given = row("the answer", span)
    plain = encode(given, tokenizer, None)
    left = without_loss(given, plain["input_ids"], plain["labels"], tokenizer, "row 1")
    assert tokenizer.decode([i for i in left if i != IGNORED]) == kept
