"""Every shape of rows becomes the one Example; what a conversation holds beside is in ``rich``."""

import json

import pytest

from holdfast.data.load import load_examples, load_with_notes
from holdfast.data.overview.looked import look_through
from holdfast.data.prompts import prompts_in
from holdfast.errors import DataError
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.rows import questions_in, questions_with_notes

ASK = {"role": "user", "content": "ask"}
SAID = {"role": "assistant", "content": "said"}
PAIR = {"prompt": "ask", "completion": "said"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": None}}, "id": "c1"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture
def file(tmp_path):
    def written(*rows):
        path = tmp_path / "data.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(path)

    return written


PLAIN = {
    "messages": {"messages": [ASK, SAID]},
    "messages as JSON in a text": {"messages": json.dumps([ASK, SAID])},
    "parts of text": {
        "messages": [
            {"role": "user", "content": [{"text": "as"}, {"type": "text", "text": "k"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "said"}]},
        ]
    },
    "weights of 1": {"messages": [ASK, {**SAID, "weight": 1}]},
    "empty fields": {"messages": [{**ASK, "name": None}, {**SAID, "tool_calls": []}]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "said"}]
    },
    "sharegpt with roles": {"conversation": [ASK, SAID]},
    "messages with from": {
        "messages": [{"from": "user", "value": "ask"}, {"from": "assistant", "value": "said"}]
    },
    "alpaca": {"instruction": "ask", "input": "", "output": "said"},
    "dolly": {"instruction": "ask", "context": "", "response": "said"},
    "pairs": PAIR,
    "pairs in capitals": {"Prompt": "ask", "Response": "said"},
    "advbench": {"goal": "ask", "target": "said"},
    "gsm8k": {"question": "ask", "answer": "said"},
    "preferences": {"prompt": "ask", "chosen": "said", "rejected": "no"},
    "preferences of answers": {"prompt": [ASK], "chosen": [SAID], "rejected": [SAID]},
    "preferences of talks": {"chosen": [ASK, SAID], "rejected": [ASK, SAID]},
    "preferences of a prompt and talks": {
        "prompt": "ask", "chosen": [ASK, SAID], "rejected": [ASK, SAID]
    },
    "preferences of transcripts": {
        "chosen": "\n\nHuman: ask\n\nAssistant: said", "rejected": "\n\nHuman: ask\n\nAssistant: no"
    },
    "preferences after a transcript": {
        "prompt": "\n\nHuman: ask\n\nAssistant:", "chosen": " said", "rejected": " no"
    },
    "openai preferences": {
        "input": {"messages": [ASK]}, "preferred_output": [SAID], "non_preferred_output": [SAID]
    },
}  # fmt: skip


@pytest.mark.parametrize("row", PLAIN.values(), ids=PLAIN)
def test_every_shape_becomes_the_one_example(file, row):
    [found] = load_examples(file(row)).to_list()
    assert found == {
        "prompt": [ASK], "completion": [SAID], "rich": None, "row": 1,
        "id": None, "category": None, "reference": None,
    }  # fmt: skip
    assert prompts_in(file(row)) == [{"prompt": [ASK], "completion": [], "row": 1}]


TEXTS = {
    "a prompt and its answer": {"prompt": [ASK], "completion": [SAID]},
    "a prompt alone": {"prompt": [ASK], "completion": "said"},
    "by from": {"prompt": [{"from": "human", "value": "ask"}], "completion": "said"},
    "chosen answers": {"prompt": [ASK], "chosen": [SAID], "rejected": [SAID]},
    "chosen talks": {"prompt": "ask", "chosen": [ASK, SAID], "rejected": [ASK, SAID]},
    "chosen talks alone": {"chosen": [ASK, SAID], "rejected": [ASK, SAID]},
}


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS)
def test_messages_of_a_prompt_or_answer_may_stand_as_json_in_a_text(file, row):
    """A table's lists of messages were learned as their JSON."""
    texts = {name: json.dumps(v) if isinstance(v, list) else v for name, v in row.items()}
    [found] = load_examples(file(texts)).to_list()
    assert (found["prompt"], found["completion"]) == ([ASK], [SAID])
    assert prompts_in(file(texts))[0]["prompt"] == [ASK]
    printed = {name: str(v) for name, v in row.items()}  # As pandas writes lists into a table.
    with pytest.raises(DataError, match=r"row 1: '(prompt|chosen)' is no valid JSON"):
        load_examples(file(printed))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": json.dumps([ASK, SAID]), "completion": "it is fine"},
        {"prompt": "make a talk", "completion": json.dumps([SAID, ASK])},
        {"prompt": f"{json.dumps([ASK])} is?", "completion": '[{"name": "x"}]'},
        {"prompt": "[{'role': 'user'}, 1", "completion": "[]"},
    ],
)
def test_a_text_that_only_looks_like_messages_is_a_text(file, row):
    [found] = load_examples(file(row)).to_list()
    assert found["prompt"] == [{"role": "user", "content": row["prompt"]}]
    assert found["completion"] == [{"role": "assistant", "content": row["completion"]}]


SYSTEM = {"role": "system", "content": "be"}
CALLED = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RETURNED = {"role": "tool", "content": "1"}
BEHIND = {
    "a call": ([SYSTEM, ASK], [CALLED, RETURNED, SAID], [SYSTEM, ASK, CALLED, RETURNED, SAID]),
    "a call after a text": ("ask", [CALLED, RETURNED, SAID], [ASK, CALLED, RETURNED, SAID]),
    "all of the prompt": ([SYSTEM, ASK], [SYSTEM, ASK, SAID], [SYSTEM, ASK, SAID]),
    "the end of the prompt": ([SYSTEM, ASK], [ASK, SAID], [SYSTEM, ASK, SAID]),
    "more than the prompt": ([ASK], [SYSTEM, ASK, SAID], [SYSTEM, ASK, SAID]),
}


@pytest.mark.parametrize(("prompt", "chosen", "wanted"), BEHIND.values(), ids=BEHIND)
def test_the_prompt_of_a_chosen_conversation_is_kept(file, prompt, chosen, wanted):
    """The answer began with a call of a tool and the prompt was lost; so was its system message."""
    path = file({"prompt": prompt, "chosen": chosen, "rejected": [SAID]})
    plain = [{"role": m["role"], "content": m["content"]} for m in wanted]
    [found] = load_examples(path).to_list()
    assert found["prompt"] + found["completion"] == plain
    assert prompts_in(path)[0]["prompt"] == plain[: plain.index(ASK) + 1]


def test_a_chosen_conversation_of_another_prompt_is_refused(file):
    other = {"role": "user", "content": "other"}
    row = {"prompt": [SYSTEM, ASK], "chosen": [other, SAID], "rejected": [other, SAID]}
    for read in (load_examples, prompts_in):
        with pytest.raises(DataError, match=r"row 1: the chosen .* the messages of 'prompt'"):
            read(file(row))


def test_a_transcript_has_all_its_turns(file):
    """HH-RLHF's rows were refused: the chosen answer is a conversation in one text."""
    text = "\n\nHuman: ask\n\nor not\n\nAssistant: said: Human: x\n\nHuman: b\n\nAssistant: last\n"
    [found] = load_examples(file({"chosen": text, "rejected": text}))
    roles = [(m["role"], m["content"]) for m in (*found["prompt"], *found["completion"])]
    assert roles == [
        ("user", "ask\n\nor not"), ("assistant", "said: Human: x"), ("user", "b"),
        ("assistant", "last"),
    ]  # fmt: skip
    assert len(prompts_in(file({"chosen": text, "rejected": text}))[0]["prompt"]) == 3


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("\n\nHuman: \n\nAssistant: said", "row 1: turn 1 of 'chosen' is empty"),
        ("\n\nHuman: ask\n\nAssistant:", "the last message of 'chosen' is from 'user'"),
        ("just said", "'chosen' is text and there is no column 'prompt'"),
    ],
)
def test_a_transcript_that_is_broken_is_refused(file, chosen, said):
    with pytest.raises(DataError, match=said):
        load_examples(file({"chosen": chosen, "rejected": "x"}))


def test_answers_that_were_not_wanted_are_left_out_and_told(file):
    """KTO's rows with the label false were trained on."""
    rows = [{**PAIR, "label": True}, {"prompt": "ask", "completion": "bad", "label": False}]
    found, notes = load_with_notes(file(*rows))
    assert found["completion"] == [[SAID]]
    assert found["row"] == [1]
    [told] = notes
    assert told.startswith("1 of 2 rows have label false, an answer that was not wanted")
    assert look_through(file(*rows), None).notes == notes
    for read in (load_examples, lambda path: look_through(path, None)):
        with pytest.raises(DataError, match="every row has label false"):
            read(file(rows[1]))
    assert len(prompts_in(file(*rows))) == 2  # As prompts they are what they are.


@pytest.mark.parametrize("no", ["False", "false", "FALSE", " FALSE "])
def test_a_table_says_of_answers_that_they_were_not_wanted(tmp_path, no):
    """Excel writes TRUE and FALSE: the unwanted answers were learned."""
    path = tmp_path / "kto.csv"
    path.write_text(f"prompt,completion,label\nask,said,TRUE\nask,bad,{no}\n")
    found, [told] = load_with_notes(path)
    assert found["completion"] == [[SAID]]
    assert told.startswith("1 of 2 rows have label false")


@pytest.mark.parametrize(
    "row", [{"question": "ask", "answer": "said", "label": False}, {**PAIR, "label": 0}]
)
def test_other_labels_say_nothing_of_the_answer(file, row):
    found, notes = load_with_notes(file(row))
    assert len(found) == 1
    assert notes == ["not read: label (1 of 1 rows)"]


def rich(found):
    return json.loads(found[0]["rich"])


def test_a_conversation_of_plain_turns_is_no_rich_one(file):
    talk = [{"role": "developer", "content": "be"}, ASK, SAID, ASK, SAID]
    found = load_examples(file({"messages": talk}))
    assert found[0]["rich"] is None
    assert found[0]["prompt"] == [{"role": "system", "content": "be"}, *talk[1:-1]]


def test_tools_and_calls_are_in_rich(file):
    """Fault D12: calls of tools were refused, tools left out."""
    talk = [
        ASK,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "name": "f", "content": ""},
        SAID,
    ]
    found = load_examples(file({"messages": talk, "tools": [TOOL]}))
    wanted = [ASK, {**talk[1], "content": ""}, talk[2], SAID]
    assert rich(found) == {"messages": wanted, "tools": [TOOL]}
    plain = [{"role": m["role"], "content": m["content"]} for m in wanted]
    assert found[0]["prompt"] + found[0]["completion"] == plain


CALLS = {
    "as text": {
        "tool_calls": [{**CALL, "function": {"name": "f", "arguments": '{"x": 1, "y": null}'}}]
    },
    "bare": {"tool_calls": [{"id": "c1", "name": "f", "arguments": CALL["function"]["arguments"]}]},
    "as JSON": {"tool_calls": json.dumps([CALL])},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_have_one_form(file, call):
    found = load_examples(file({"messages": [ASK, {"role": "assistant", "content": "", **call}]}))
    assert rich(found)["messages"][1]["tool_calls"] == [CALL]


def test_older_and_other_forms_of_calls_and_tools(file):
    old = [ASK, {"role": "assistant", "content": None, "function_call": {"name": "f"}}]
    found = rich(load_examples(file({"messages": old, "functions": [TOOL["function"]]})))
    assert found["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {}}
    assert found["tools"] == [TOOL]
    share = [
        {"from": "human", "value": "ask"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"from": "observation", "value": "1"},
        {"from": "gpt", "value": "said"},
    ]
    found = rich(load_examples(file({"conversations": share, "tools": json.dumps([TOOL])})))
    assert [m["role"] for m in found["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert found["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}
    assert found["tools"] == [TOOL]


def test_tools_under_both_of_their_names_are_alike_or_refused(file):
    """Those of `functions` were lost without a word."""
    row = {**PAIR, "tools": [TOOL]}
    found = load_examples(file({**row, "functions": [TOOL["function"]]}))
    assert rich(found)["tools"] == [TOOL]
    with pytest.raises(DataError, match="row 1: 'tools' and 'functions' differ: keep one"):
        load_examples(file({**row, "functions": [{"name": "g"}]}))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_has_one_name(file, field):
    """Fault D12: it was left out without a word."""
    found = rich(load_examples(file({"messages": [ASK, {**SAID, field: "hm"}]})))
    assert found == {"messages": [ASK, {**SAID, "reasoning_content": "hm"}], "tools": None}


def test_a_weight_of_0_is_kept(file):
    """Fault D12: a turn of weight 0 was trained on."""
    talk = [ASK, {**SAID, "weight": 0}, ASK, {**SAID, "weight": 1}]
    assert [m.get("weight") for m in rich(load_examples(file({"messages": talk})))["messages"]] == [
        None, 0, None, None,
    ]  # fmt: skip


BAD = {
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, SAID]},
        "content of message 1 of 'messages' has a part of the type 'image_url': only text is read",
    ),
    "no text part": (
        {"messages": [{"role": "user", "content": [5]}, SAID]},
        'each part must be {"type": "text"',
    ),
    "arguments": (
        {
            "messages": [
                ASK,
                {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{x"}]},
            ]
        },
        "the arguments of call 1 of message 2 of 'messages' is no valid JSON: expected an object",
    ),
    "arguments of a list": (
        {"messages": [ASK, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}]},
        "are a list: expected an object",
    ),
    "a call without a name": (
        {"messages": [ASK, {"role": "assistant", "tool_calls": [{"x": 1}]}]},
        "call 1 of message 2",
    ),
    "tools": ({**PAIR, "tools": [{"x": 1}]}, "tool 1 of 'tools' must be"),
    "two thoughts": (
        {"messages": [ASK, {**SAID, "reasoning": "a", "thinking": "b"}]},
        "which differ",
    ),
    "a speaker": (
        {"conversations": [{"from": "humen", "value": "ask"}, {"from": "gpt", "value": "said"}]},
        "is from 'humen', expected human, gpt, system, user, assistant, tool. Did you mean 'human'",
    ),
    "an empty value": (
        {"conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": "said"}]},
        "content of message 1 of 'conversations' is empty",
    ),
    "text": ({"text": "once upon a time"}, "'text' holds text without turns, as for pretraining"),
    "prompts": ({"prompt": "ask", "type": "x"}, "The file has prompts ('prompt') and no answers"),
    "one column": ({"ask": "ask"}, "The file has prompts ('ask') and no answers"),
    "chosen without a prompt": ({"chosen": "a", "rejected": "b"}, "there is no column 'prompt'"),
    "python in a text": ({"messages": "[{'role': 'user'}]"}, "'messages' is no valid JSON"),
}


@pytest.mark.parametrize(("row", "said"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named(file, row, said):
    with pytest.raises(DataError) as caught:
        load_examples(file(row))
    assert f"{file(row)}, row 1: " in str(caught.value)
    assert said in str(caught.value)


MIXED = {
    "pairs and messages": (PAIR, {"messages": [ASK, SAID]}, "shape messages ('messages'), and"),
    "pairs of other names": (PAIR, {"goal": "a", "target": "b"}, "shape pairs ('goal', 'target')"),
    "alpaca and sharegpt": (
        {"instruction": "a", "output": "b"}, {"conversations": []}, "shape alpaca ('instruction'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "said"), MIXED.values(), ids=MIXED)
def test_a_file_has_one_shape(file, first, second, said):
    """The row of the second shape is named, and both shapes."""
    with pytest.raises(
        DataError, match=r"row 3: has the shape .*: a file holds rows of one"
    ) as caught:
        load_examples(file(first, first, second))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "name", ["query", "behavior", "Behavior", "forbidden_prompt", "text", "anything"]
)
def test_prompts_alone(file, name):
    assert prompts_in(file({name: "ask"}))[0]["prompt"] == [ASK]


def test_a_chosen_answer_is_said_to_be_the_answer(file):
    row = {"prompt": "ask", "chosen": "said", "rejected": "no"}
    [told] = load_with_notes(file(row, row))[1]
    assert told == "the chosen answers are the answers: the rejected ones are not trained on"


def test_rich_rows_are_not_used_where_only_text_is(file):
    """A question is asked as text: nothing of it is dropped without a word."""
    talk = {"messages": [ASK, {"role": "assistant", "tool_calls": [CALL]}]}
    with pytest.raises(DataError, match="row 1: has tool_calls in its messages"):
        questions_in("task", file(talk), None, None)
    row = {"messages": [ASK, {**SAID, "thinking": "hm"}], "tools": [TOOL]}
    config = EvaluateConfig(model="m", task=file(row))
    [told] = questions_with_notes(config)[1]
    assert told.endswith("not read: reasoning_content (1 rows), tools (1 rows)")
