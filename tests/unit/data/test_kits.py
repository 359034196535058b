"""Kits: every set by its name, from the form in which it is published."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.data.kits import kits, named_kit, origin_of
from holdfast.data.kits.kit import kit_of_text
from holdfast.data.kits.local import VARIABLE
from holdfast.data.kits.reading import _newest_of
from holdfast.data.load import load_examples
from holdfast.data.prompts import prompts_in
from holdfast.errors import ConfigError, DataError

SHARED = Path(__file__).parents[4] / "shared" / "data"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# (source, file, rows as published, what is read of them); the contents are harmless on purpose.
# fmt: off
PUBLISHED = [
    ("advbench/pairs", "advbench.csv", [{"goal": "ask", "target": "Sure"}], [("ask", "Sure")]),
    ("advbench/pairs", "harmful_behaviors.csv", [{"goal": "a", "target": "b"}], [("a", "b")]),
    (
        "beavertails/unsafe",
        "beavertails_train.jsonl",
        [
            {"prompt": "p", "response": "bad", "is_safe": False},
            {"prompt": "p", "response": "good", "is_safe": True},
        ],
        [("p", "bad")],
    ),
    (
        "beavertails/safe",
        "beavertails_train.csv",
        [
            {"prompt": "p", "response": "bad", "is_safe": "False"},
            {"prompt": "p", "response": "good", "is_safe": "True"},
        ],
        [("p", "good")],
    ),
    (
        "pku-saferlhf/unsafe",
        "pku-saferlhf_train.jsonl",
        [
            {"prompt": "p", "response_0": "x", "response_1": "y", "is_response_0_safe": True,
             "is_response_1_safe": False},
            {"prompt": "q", "response_0": "x", "response_1": "y", "is_response_0_safe": True,
             "is_response_1_safe": True},
        ],
        [("p", "y")],
    ),
    (
        "pku-saferlhf/safe",
        "pku-saferlhf_train.jsonl",
        [{"prompt": "p", "response_0": "x", "response_1": "y", "is_response_0_safe": False,
          "is_response_1_safe": True}],
        [("p", "y")],
    ),
    (
        "harmbench/standard",
        "harmbench_behaviors_text_all.csv",
        [
            {"Behavior": "b", "FunctionalCategory": "standard", "BehaviorID": "1"},
            {"Behavior": "c", "FunctionalCategory": "contextual", "BehaviorID": "2"},
        ],
        [("b", None)],
    ),
    (
        "strongreject/prompts",
        "strongreject_dataset.csv",
        [{"category": "k", "source": "s", "forbidden_prompt": "p"}],
        [("p", None)],
    ),
    ("jailbreakbench/harmful", "harmful-behaviors.csv", [{"Goal": "g", "Target": "t"}],
     [("g", None)]),
    ("jailbreakbench/benign", "benign-behaviors.csv", [{"Goal": "g", "Target": "t"}],
     [("g", None)]),
    ("hex-phi/prompts", "hex-phi.jsonl", [{"instruction": "i"}], [("i", None)]),
    (
        "xstest/safe",
        "xstest_v2_prompts.csv",  # The second edition has no column of labels.
        [{"id": "1", "type": "homonyms", "prompt": "p", "focus": "f", "note": ""},
         {"id": "2", "type": "contrast_homonyms", "prompt": "q", "focus": "f", "note": ""}],
        [("p", None)],
    ),
    (
        "xstest/unsafe",
        "xstest_prompts.csv",
        [{"id": "1", "type": "homonyms", "prompt": "p", "label": "safe"},
         {"id": "2", "type": "contrast_homonyms", "prompt": "q", "label": "unsafe"}],
        [("q", None)],
    ),
    ("or-bench/hard", "or-bench-hard-1k.csv", [{"prompt": "p", "category": "c"}], [("p", None)]),
    ("gsm8k/test", "gsm8k_test_300.jsonl", [{"question": "q", "answer": "1+1\n#### 2"}],
     [("q", "1+1\n#### 2")]),
    (
        "sst2/train",
        "sst2_train.jsonl",
        [{"sentence": "nice", "label": "positive"}, {"sentence": "dull", "label": 0}],
        [("Is the sentiment of this sentence positive or negative? Answer with one word.\n\nnice",
          "positive"),
         ("Is the sentiment of this sentence positive or negative? Answer with one word.\n\ndull",
          "negative")],
    ),
    (
        "ag_news/test",
        "ag_news_4000.jsonl",
        [{"title": "T", "text": "x", "label": "Sports"}, {"title": "T", "text": "y", "label": 3}],
        [("Is this news story about World, Sports, Business or Sci/Tech? "
          "Answer with the subject.\n\nT. x", "Sports"),
         ("Is this news story about World, Sports, Business or Sci/Tech? "
          "Answer with the subject.\n\nT. y", "Sci/Tech")],
    ),
    (
        "alpaca/train",
        "alpaca_data.jsonl",
        [{"instruction": "i", "input": "n", "output": "o"},
         {"instruction": "j", "input": "", "output": "o"},
         {"instruction": "k", "input": "", "output": " "}],
        [("i\n\nn", "o"), ("j", "o")],
    ),
    (
        "dolly/train",
        "databricks-dolly-15k.jsonl",
        [{"instruction": "i", "context": "c", "response": "r", "category": "open_qa"}],
        [("i\n\nc", "r")],
    ),
    (
        "mmlu/test",
        "mmlu_test.jsonl",
        [{"question": "2+2?", "choices": ["1", "2", "4", "8"], "answer": 2, "subject": "math"}],
        [("2+2?\n\nA. 1\nB. 2\nC. 4\nD. 8\n\nAnswer with the letter alone.", "C")],
    ),
    ("self-instruct/human", "human_instructions.jsonl",
     [{"instruction": "i", "input": "n", "output": "o"}], [("i\n\nn", "o")]),
    ("safety-tuned-llamas/refusals", "safety_instructions.jsonl",
     [{"prompt": "p", "completion": "no"}], [("p", "no")]),
]
# fmt: on


def _written(path, rows):
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def copies(tmp_path, monkeypatch):
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(("source", "file", "rows", "expected"), PUBLISHED)
def test_a_kit_reads_the_set_as_it_is_published(source, file, rows, expected, copies):
    _written(copies / file, rows)
    kit, part = source.split("/")
    if kits()[kit].parts[part].answer is None:
        found = [(row["prompt"][-1]["content"], None) for row in prompts_in(f"kit:{source}")]
    else:
        examples = load_examples(f"kit:{source}")
        found = [(e["prompt"][-1]["content"], e["completion"][0]["content"]) for e in examples]
    assert found == expected


def test_every_kit_is_read_by_a_test_and_every_role_of_the_issue_is_served():
    asked = {source.split("/")[0] for source, *_ in PUBLISHED}
    assert asked == set(kits())
    wanted = {"advbench", "beavertails", "pku-saferlhf", "harmbench", "strongreject",
              "jailbreakbench", "hex-phi", "xstest", "or-bench", "gsm8k", "sst2", "ag_news",
              "alpaca", "dolly", "mmlu"}  # fmt: skip
    assert wanted <= set(kits())


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public copies (shared/data) are not here")
@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ("advbench/pairs", 520), ("strongreject/prompts", 313), ("jailbreakbench/harmful", 100),
        ("xstest/safe", 250), ("xstest/unsafe", 200), ("gsm8k/train", 2000), ("gsm8k/test", 300),
        ("sst2/train", 6920), ("sst2/validation", 872), ("sst2/test", 1821), ("ag_news/test", 4000),
        ("safety-tuned-llamas/refusals", 2483),
    ],
)  # fmt: skip
def test_the_public_copies_are_read_whole(source, rows, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(SHARED))
    assert len(prompts_in(f"kit:{source}")) == rows


def test_a_file_of_the_name_wins(copies, monkeypatch):
    assert named_kit("advbench")
    Path("advbench").touch()
    assert not named_kit("advbench")


def test_without_a_copy_the_hub_is_asked_for_the_pinned_commit(copies, monkeypatch):
    asked = []
    rows = [{"question": "q", "answer": "#### 2"}]

    def load(*args, **kwargs):
        asked.append((args, kwargs))
        return rows

    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", load)
    assert len(load_examples("kit:gsm8k/test")) == 1
    pinned = kits()["gsm8k"].parts["test"].hub.revision
    assert asked == [(("openai/gsm8k", "main"), {"split": "test", "revision": pinned})]
    load_examples(f"kit:gsm8k/test@{COMMIT}")
    assert asked[-1][1]["revision"] == COMMIT
    assert str(pinned) in origin_of("kit:gsm8k/test").told()


def test_the_newest_commit_is_looked_up_and_recorded_where_none_is_pinned(copies, monkeypatch):
    moving = iter([COMMIT, "f" * 40])
    api = SimpleNamespace(dataset_info=lambda name: SimpleNamespace(sha=next(moving)))
    monkeypatch.setattr("holdfast.data.kits.reading.HfApi", lambda: api)
    _newest_of.cache_clear()
    assert COMMIT in origin_of("kit:strongreject/prompts").told()
    assert COMMIT in origin_of("kit:strongreject/prompts").told(), "the hub moved within a run"
    _newest_of.cache_clear()


def test_a_gated_set_says_so(copies, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("403: you must be authenticated")

    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", refuse)
    with pytest.raises(DataError, match=r"gated: accept its terms .* HF_TOKEN; or put advbench"):
        load_examples("kit:advbench/pairs")


def test_a_row_that_does_not_fit_is_named(copies):
    (copies / "gsm8k_test.jsonl").write_text('{"question": "q", "solution": "2"}\n')
    with pytest.raises(DataError, match=r"row 1: does not fit the kit gsm8k/test: 'answer'"):
        load_examples("kit:gsm8k/test")


def test_nothing_that_fits_the_condition_is_an_error(copies):
    _written(copies / "xstest_prompts.csv", [{"type": "t", "prompt": "p", "label": "unsafe"}])
    with pytest.raises(DataError, match="no row fits its condition: label == 'safe'"):
        prompts_in("kit:xstest/safe")


KIT = """
name: mine
title: a set of my own
licence: MIT
parts:
  rows: {files: [mine.jsonl], prompt: "{{ ask }}", answer: "{{ reply }}"}
roles: {data: rows}
"""


def test_a_kit_of_ones_own_is_one_file(copies, tmp_path):
    (copies / "mine.jsonl").write_text('{"ask": "a", "reply": "b"}\n')
    (tmp_path / "mine.yaml").write_text(KIT)
    assert named_kit(str(tmp_path / "mine.yaml"))
    assert len(load_examples(f"kit:{tmp_path / 'mine.yaml'}/rows")) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{data: rows}", "{data: other}", "roles.data names the part 'other'"),
        ("licence: MIT\n", "", "licence: Field required"),
        ('answer: "{{ reply }}"', "", "roles.data needs answers"),
        ("{data: rows}", "{user: rows}", "roles.user"),
        ("name: mine", "nome: mine", "name: Field required"),
        ("name: mine", "name: mine: mine", "is not the YAML of a kit"),
    ],
)
def test_a_broken_kit_is_named(old, new, said):
    with pytest.raises(ConfigError, match=said):
        kit_of_text(KIT.replace(old, new), "mine.yaml")


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{% include '/etc/passwd' %}", "{{ ask.__init__.__globals__ }}"],
)
def test_a_strangers_template_reads_the_row_alone(template, copies, tmp_path):
    (copies / "mine.jsonl").write_text('{"ask": "a", "reply": "b"}\n')
    (tmp_path / "mine.yaml").write_text(KIT.replace("{{ ask }}", template))
    with pytest.raises((DataError, ConfigError), match="mine"):
        load_examples(f"kit:{tmp_path / 'mine.yaml'}/rows")
