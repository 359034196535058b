"""What stands in a file is read where it can be, told where it is not, refused where it matters."""

import json

import pytest

from holdfast.data.load import load_examples, load_with_notes
from holdfast.data.prompts import prompts_in
from holdfast.errors import ConfigError, DataError
from holdfast.inputs.rows import source

USER = {"role": "user", "content": "ask"}
SAID = {"role": "assistant", "content": "said"}
PAIR = {"prompt": "ask", "completion": "said"}
TALK = {"messages": [USER, SAID]}


@pytest.fixture
def file(tmp_path):
    def written(*rows):
        path = tmp_path / "data.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(path)

    return written


def asked(path, **given):
    return [row["prompt"] for row in load_examples(path, **given)]


@pytest.mark.parametrize("beside", ["input", "context"])
@pytest.mark.parametrize("columns", [None, {"prompt": "instruction", "completion": "output"}])
def test_the_input_of_an_instruction_is_part_of_its_prompt(file, beside, columns):
    """Fault D12: with prompt=instruction the column input was lost without a word."""
    rows = [{"instruction": "do", beside: value, "output": "o"} for value in ("this", "", None)]
    found = asked(file(*rows), columns=columns)
    assert [prompt[0]["content"] for prompt in found] == ["do\n\nthis", "do", "do"]
    assert load_with_notes(file(*rows), columns=columns)[1] == []
    assert prompts_in(file(*rows))[0]["prompt"][0]["content"] == "do\n\nthis"


@pytest.mark.parametrize("beside", ["input", "context", "system", "system_prompt"])
@pytest.mark.parametrize("value", [5, 0, False, {"a": 1}, ["this"]])
def test_what_belongs_to_a_prompt_and_is_no_text_is_refused(file, beside, value):
    """Fault D12: an input or system message that was a number was lost without a word."""
    row = {"instruction": "do", beside: value, "output": "o"}
    for read in (load_examples, prompts_in):
        with pytest.raises(DataError, match=rf"row 1: '{beside}' is .*: expected text"):
            read(file(row))


@pytest.mark.parametrize("row", [PAIR, TALK, {"prompt": [USER], "completion": [SAID]}])
@pytest.mark.parametrize("name", ["system", "system_prompt"])
def test_a_system_column_is_the_system_message(file, row, name):
    """Fault D12: it was lost."""
    first = {"role": "system", "content": "be brief"}
    assert asked(file({**row, name: "be brief"})) == [[first, USER]]
    assert asked(file({**row, name: ""})) == [[USER]]
    assert load_with_notes(file({**row, name: "be brief"}))[1] == []


def test_capitals_of_what_stands_beside_do_not_count(file):
    """A column `System` was left out, though `Prompt` beside it was read."""
    tool = {"type": "function", "function": {"name": "f"}}
    row = {"Prompt": "ask", "Completion": "said", "System": "be", "ID": 7, "Tools": [tool],
           "Category": "c", "Reference": "r"}  # fmt: skip
    found, notes = load_with_notes(file(row))
    [one] = found.to_list()
    assert one["prompt"] == [{"role": "system", "content": "be"}, USER]
    assert json.loads(one["rich"])["tools"] == [tool]
    assert (one["id"], one["category"], one["reference"], notes) == ("7", "c", "r", [])
    assert prompts_in(file(row))[0]["category"] == "c"
    _, notes = load_with_notes(file({**PAIR, "Reference": ["r", "s"]}))
    assert notes == ["not read: Reference (1 of 1 rows)"]


def test_two_system_messages_are_refused(file):
    """Fault D12: one of the two would be lost."""
    own = {"messages": [{"role": "system", "content": "a"}, USER, SAID], "system": "b"}
    with pytest.raises(DataError, match=r"row 1: has a system message in the prompt and another"):
        load_examples(file(own))
    assert len(asked(file({**own, "system": "a"}))[0]) == 2


CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
MEANT = {
    "a weight of 0": {**PAIR, "weight": 0},
    "half a weight": {**PAIR, "loss_weight": "0.5"},
    "half a message's weight": {"messages": [USER, {**SAID, "weight": 0.5}]},
    "no answer has a weight": {"messages": [USER, {**SAID, "weight": 0}]},
    "a message's other weight": {"messages": [USER, {**SAID, "loss_weight": 0.5}]},
    "a call of the user": {"messages": [{**USER, "tool_calls": [CALL]}, SAID]},
    "a column of calls": {**PAIR, "tool_calls": "[1]"},
}


@pytest.mark.parametrize("row", MEANT.values(), ids=MEANT)
def test_what_changes_the_meaning_of_a_row_is_refused(file, row):
    """Fault D12: a row of weight 0 was trained on; a call of a tool was left out."""
    with pytest.raises(DataError, match=r"row 2: .*(weight|call)"):
        load_examples(file(PAIR if "prompt" in row else TALK, row))


@pytest.mark.parametrize("field", ["loss", "train", "training"])
def test_a_turn_that_another_tool_would_not_learn_is_refused(file, field):
    """It was learned: the field was but named as not read."""
    row = {"messages": [USER, {**SAID, field: False}, USER, {**SAID, field: True}]}
    with pytest.raises(DataError, match=f'row 1: messages.{field} is false.*"weight": 0 into'):
        load_examples(file(row))
    assert len(asked(file({**PAIR, field: False}))) == 1  # A column of the row may mean anything.


def test_a_weight_of_one_and_empty_calls_are_what_they_would_be(file):
    """Fault D12: what changes nothing is no error."""
    load_examples(file({**PAIR, "weight": 1.0, "tool_calls": []}, {**PAIR, "weight": None}))


def test_the_rest_is_named_once(file):
    """Fault D12: other columns and fields were left out without a word."""
    rows = [
        {**PAIR, "source": "x", "id": "7", "parallel_tool_calls": True},
        {**PAIR, "source": ""},
        {"prompt": [USER], "completion": [{**SAID, "stamp": "hm"}]},
    ]
    [told] = load_with_notes(file(*rows))[1]
    assert told.replace(" (1 of 3 rows)", "") == "not read: source, completion.stamp"
    found = source("harmful", file(*rows))
    assert any("not read: source" in line for line in found.warnings())


def test_earlier_answers_are_read(file):
    """Fault D12: earlier turns were not trained on, even with assistant_only_loss, silently."""
    rows = TALK, {"messages": [USER, SAID, USER, SAID]}
    found, told = load_with_notes(file(*rows))
    assert told == []
    assert [len(row["prompt"]) for row in found] == [1, 3]


def test_columns_of_prompts(file):
    """Fault F1: prompt=NAME was said to be enough, and refused."""
    assert prompts_in(file({"q": "ask"}), {"prompt": "q"})[0]["prompt"] == [USER]
    assert prompts_in(file({"m": [USER, SAID]}), {"messages": "m"})[0]["prompt"] == [USER]
    for wrong in ({"completion": "q"}, {"prompt": "q", "colour": "x"}):
        with pytest.raises(ConfigError, match="give prompt=NAME"):
            prompts_in(file({"q": "ask"}), wrong)


def test_what_openai_s_preferences_hold_beside_their_messages_is_told(file):
    def row(**more):
        return {
            "input": {"messages": [USER], **more}, "preferred_output": [SAID],
            "non_preferred_output": [SAID],
        }  # fmt: skip

    given = [row(system="be brief", parallel_tool_calls=True, tools=[]), row()]
    assert "not read: input.system (1 of 2 rows)" in load_with_notes(file(*given))[1]
    assert not any("not read" in note for note in load_with_notes(file(row()))[1])
    with pytest.raises(DataError, match=r"input\.weight=0: rows are not weighted"):
        load_examples(file(row(weight=0)))
    with pytest.raises(DataError, match=r"input\.messages\.train is false"):
        load_examples(file({**row(), "input": {"messages": [{**USER, "train": False}]}}))


def test_what_a_document_holds_beside_its_rows_is_told(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"system": "be brief", "note": "", "data": [PAIR, PAIR]}))
    assert "not read beside the rows: system" in load_with_notes(str(path))[1]
    path.write_text(json.dumps({"data": [PAIR]}))
    assert load_with_notes(str(path))[1] == []
