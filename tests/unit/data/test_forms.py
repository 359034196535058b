"""Ten real forms of data files are read as they come, and give exactly these rows."""

import csv
import json
from pathlib import Path

import pytest

from holdfast.data.load import load_with_notes
from holdfast.data.prompts import prompts_with_notes
from holdfast.errors import DataError

FORMS = Path(__file__).parents[2] / "fixtures" / "forms"
WEATHER = {"name": "weather"}


def talk(*texts, system=None):
    """A conversation: the user begins."""
    roles = ("user", "assistant")
    said = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *said] if system else said


def plain(*talks, notes=()):
    """Rows that prompt and completion say whole."""
    return [(each, None) for each in talks], list(notes)


def called(town, **more):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"town": town}}}
    return {"role": "assistant", "content": "", "tool_calls": [{**more, **call}]}


TOWN = {"type": "object", "properties": {"town": {"type": "string"}}}
TOOL = {"name": "weather", "description": "The weather of a town", "parameters": TOWN}
TOOL["parameters"] = {**TOWN, "required": ["town"]}
ZURICH = [
    {"role": "system", "content": "You know the weather."},
    {"role": "user", "content": "Is it raining in Zürich?"},
    called("Zürich", id="call_1"),
    {"role": "tool", "content": '{"rain": false}', "tool_call_id": "call_1"},
    {"role": "assistant", "content": "No, it is dry."},
]
BERN = [
    {"role": "user", "content": "Is it raining in Bern?"},
    called("Bern"),
    {"role": "tool", "content": "yes", "name": "weather"},
    {"role": "assistant", "content": "Yes."},
]
FRANCE = talk(
    "What is the capital of France?", "It is Paris, I think.", "In one word", "Paris.",
    system="Answer in one word.",
)  # fmt: skip
WEIGHED = [{**m, "weight": 0} if m["content"].endswith("think.") else m for m in FRANCE]
SUM = talk("1 + 1?", "2")
SUM[1]["reasoning_content"] = "One and one are two."
WANTED = {
    "tools.jsonl": (
        [(ZURICH, [TOOL]), (talk("Thank you", "You are welcome."), [TOOL])], [],
    ),
    "openai.jsonl": (
        [
            (WEIGHED, None),
            (talk("What is the capital of Italy?", "Rome.", system="Answer in one word."), None),
        ],
        [],
    ),
    "alpaca.json": plain(
        talk("Translate into German.\n\nGood morning", "Guten Morgen"),
        talk("Name a color.", "Blue"),
    ),
    "sharegpt.json": plain(
        talk("Hello", "Hi", "How many legs has a cat?", "Four.", system="Be brief."),
        talk("Bye", "Good bye"),
    ),
    "dpo.parquet": plain(
        talk("Tell a joke.", "Why did the tomato blush?"),
        talk("Count to three.", "One, two, three."),
        notes=[
            "the chosen answers are the answers: the rejected ones are not trained on",
            "not read: score_chosen (2 of 2 rows)",
        ],
    ),
    "pairs.csv": plain(
        talk("What is 2 + 2?", "4"),
        talk("Write two lines, please", 'First; and\nsecond "line"'),
    ),
    "pairs.tsv": plain(
        talk("Is ice cold, or hot?", "Cold"),
        talk("Is fire cold?", "No"),
        notes=["not read: column 1 (2 of 2 rows)"],
    ),
    "pairs.jsonl.gz": plain(talk("Say yes", "Yes"), talk("Say no", "No")),
    "thoughts.jsonl.zst": ([(SUM, None), (talk("2 + 3?", "5"), None)], []),
    "saved": (
        [
            (BERN, [{"name": "weather", "parameters": TOWN}]),
            (talk("Good night", "Sleep well."), None),
        ],
        ["not read: test/"],
    ),
    "several": plain(
        talk("Say one", "one"), talk("Say one twice", "one one"),
        talk("Say two", "two"), talk("Say two twice", "two two"),
        notes=[
            "not read: README.md, test-00000-of-00001.jsonl",
            "rows are numbered through its files: train-00000-of-00002.jsonl 1 to 2, "
            "train-00001-of-00002.jsonl 3 to 4",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WANTED)
def test_a_form_is_read_as_it_comes(name):
    wanted, notes = WANTED[name]
    found, told = load_with_notes(FORMS / name)
    assert told == notes
    for row, (messages, tools) in zip(found, wanted, strict=True):
        bare = [{"role": m["role"], "content": m["content"]} for m in messages]
        assert row["prompt"] + row["completion"] == bare
        if tools is None and bare == messages:
            assert row["rich"] is None
        else:
            whole = tools and [{"type": "function", "function": tool} for tool in tools]
            assert json.loads(row["rich"]) == {"messages": messages, "tools": whole}
    assert found["row"] == list(range(1, len(wanted) + 1))


@pytest.mark.parametrize("name", ["tools.jsonl", "saved"])
def test_a_form_is_read_the_same_each_time(name):
    assert load_with_notes(FORMS / name)[0].to_list() == load_with_notes(FORMS / name)[0].to_list()


PROMPTS = {
    "prompts.txt": (["How do I boil an egg?", "How do I kill a Python process?"], [1, 3], []),
    "prompts.csv": (
        ["Bake a cake", "Bake bread, please"], [1, 2], ["not read: note (1 of 2 rows)"],
    ),
    "sharegpt.json": (["How many legs has a cat?", "Bye"], [1, 2], []),
    "alpaca.json": (["Translate into German.\n\nGood morning", "Name a color."], [1, 2], []),
    "dpo.parquet": (
        ["Tell a joke.", "Count to three."], [1, 2], ["not read: score_chosen (2 of 2 rows)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_of_a_form_are_read_as_they_come(name):
    found, told = prompts_with_notes(str(FORMS / name))
    texts, numbers, notes = PROMPTS[name]
    assert [row["prompt"][-1]["content"] for row in found] == texts
    assert [row["row"] for row in found] == numbers
    assert told == notes


def test_another_split_is_a_field():
    for name in ("saved", "several"):
        assert len(load_with_notes(FORMS / name, split="test")[0]) == 1
    assert load_with_notes(FORMS / "saved/test")[0][0]["completion"][0]["content"] == "Sleep well."


PUBLIC = {
    "advbench.csv": (520, "goal", True),
    "xstest_prompts.csv": (450, "prompt", False),
    "strongreject_prompts.jsonl": (313, "prompt", False),
    "gsm8k_train_2000.jsonl": (2000, "question", True),
}
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_files_are_read_to_the_last_row(name):
    """The files that everybody has: all rows, from the right column, without conversion."""
    if not (DATA / name).is_file():
        pytest.skip(f"real data absent: {DATA / name}")
    count, column, answered = PUBLIC[name]
    found, _ = prompts_with_notes(str(DATA / name))
    assert len(found) == count
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if name.endswith("csv") else [*map(json.loads, file)]
    assert [row["prompt"][0]["content"] for row in found] == [row[column] for row in rows]
    if answered:
        assert len(load_with_notes(DATA / name)[0]) == count
    else:
        with pytest.raises(DataError, match=r"has prompts .* and no answers"):
            load_with_notes(DATA / name)
