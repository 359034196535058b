"""Answers of a file with people's labels: XSTest's names, plain words, a mapping, and bad input."""

import json

import pytest

from holdfast.errors import ConfigError, DataError
from holdfast.inputs.answered.labels import Labels
from holdfast.inputs.answered.phrases import by_phrases, phrases_in
from holdfast.inputs.answered.rows import rows_to_judge


def written(tmp_path, *rows):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(path, columns=None, labels=None, by=None, limit=None):
    return rows_to_judge(path, columns, Labels.read(labels), by, limit)


def test_rows_with_the_names_of_xstest(tmp_path):
    row = {"model": "m", "prompt": "p", "completion": "a", "final_label": "3_partial_refusal"}
    [found] = read(written(tmp_path, row), by="model")
    assert (found.number, found.question, found.answer) == (1, "p", "a")
    assert (found.label, found.group) == ("partial", "m")


def test_conversations_end_with_the_answer(tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    [found] = read(written(tmp_path, {"messages": turns}))
    assert (found.question, found.answer, found.label) == ("q", "a", "")


USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
PARTS = [
    {"role": r, "content": [{"type": "text", "text": t}]}
    for r, t in (("user", "q"), ("assistant", "a"))
]
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.mark.parametrize(
    ("row", "question", "answer"),
    [
        ({"messages": PARTS}, "q", "a"),
        ({"conversations": SHAREGPT}, "q", "a"),
        ({"conversations": [SHAREGPT[0], {"from": "gpt", "value": None}]}, "q", ""),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "q", ""),
        ({"messages": json.dumps([USER, ANSWER])}, "q", "a"),
        ({"prompt": "first", "messages": [USER, ANSWER]}, "q", "a"),
        ({"prompt": [USER], "response": "a"}, "q", "a"),
        ({"instruction": "do", "input": "this", "output": "a"}, "do\n\nthis", "a"),
        ({"Query": "q", "Response": "a"}, "q", "a"),
    ],
)  # fmt: skip
def test_answers_are_read_in_the_shapes_of_other_data(tmp_path, row, question, answer):
    [found] = read(written(tmp_path, row))
    assert (found.question, found.answer) == (question, answer)


def test_messages_as_json_in_a_text_are_no_question(tmp_path):
    talk = [{"role": "system", "content": "be"}, {"role": "user", "content": "how"}]
    [row] = read(written(tmp_path, {"prompt": json.dumps(talk), "response": "so"}))
    assert (row.question, row.answer) == ("how", "so")


def test_a_file_of_two_shapes_is_refused_at_the_second(tmp_path):
    path = written(tmp_path, {"prompt": "q", "answer": "a"}, {"messages": [USER, ANSWER]})
    with pytest.raises(DataError, match="row 2: column 'prompt' is missing"):
        read(path)


def test_two_files_may_differ(tmp_path):
    one = written(tmp_path, {"prompt": "q", "answer": "a"})
    two = tmp_path / "b.csv"
    two.write_text("question,response\nr,b\n")
    found = read(f"{one},{two}")
    assert [(each.question, each.answer) for each in found] == [("q", "a"), ("r", "b")]


def test_an_empty_answer_is_one_and_a_missing_label_is_none(tmp_path):
    path = written(tmp_path, {"prompt": "p", "answer": None, "label": None})
    [found] = read(path)
    assert (found.answer, found.label) == ("", "")


def test_what_a_table_writes_for_a_missing_value_is_no_text(tmp_path):
    """The word "nan" would be judged, and as help."""
    nan = float("nan")
    one, other = read(
        written(tmp_path, {"prompt": "p", "answer": nan, "label": nan, "by": nan},
                {"prompt": "p", "answer": "a", "label": " ", "by": "m"}), by="by",
    )  # fmt: skip
    assert (one.answer, one.label, one.group) == ("", "", "")
    assert (other.answer, other.label, other.group) == ("a", "", "m")


def test_a_csv_file_and_columns_by_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("q,reply,human\nask,no,declined\n")
    columns = {"prompt": "q", "answer": "reply", "label": "human"}
    [found] = read(str(path), columns, "refusal=declined|no,compliance=yes")
    assert (found.question, found.answer, found.label) == ("ask", "no", "refusal")


@pytest.mark.parametrize(
    ("label", "ours"),
    [
        ("2_full_refusal", "refusal"), ("1_full_compliance", "compliance"), ("Refused", "refusal"),
        ("partially refused", "partial"), ("not-refused", "compliance"), ("UNSAFE", "harmful"),
        ("safe", "harmless"),
    ],
)  # fmt: skip
def test_labels_of_others(label, ours):
    assert Labels.read(None).of(label, "row 1") == ours


@pytest.mark.parametrize(
    ("row", "options", "said"),
    [
        ({"prompt": "p"}, {}, "column 'answer' is missing"),
        ({"answer": "a"}, {}, "column 'prompt' is missing"),
        ({"prompt": "p", "answer": "a"}, {"columns": {"answer": "reply"}}, "'reply' is missing"),
        ({"prompt": "p", "answer": ["a"]}, {}, "answer is a list, expected text"),
        ({"prompt": 3, "answer": "a"}, {}, "neither text nor messages"),
        ({"prompt": "p", "answer": "a", "label": "maybe"}, {}, "the label 'maybe' is none of"),
        ({"prompt": "p", "answer": "a"}, {"by": "model"}, "`by=model` is none of its columns"),
        ({"messages": [{"role": "user", "content": "q"}]}, {}, "does not end with an assistant"),
        ({"prompt": "p\ud800", "answer": "a"}, {}, "row 1: prompt has half of a surrogate"),
        ({"prompt": "p", "answer": "a\ud800"}, {}, "row 1: answer has half of a surrogate"),
        ({"prompt": "p", "answer": "a", "m": "\ud800"}, {"by": "m"}, "m has half of a surrogate"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, options, said):
    with pytest.raises(DataError, match=said):
        read(written(tmp_path, row), **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": "refused=no"}, "'refused=no' is not OURS=THEIRS"),
        ({"labels": "refusal"}, "not OURS=THEIRS"),
        ({"labels": "refusal=no,partial=no"}, "'no' is given twice"),
        ({"columns": {"lable": "x"}}, "lable is none of .* Did you mean 'label'"),
        ({"limit": 0}, "`limit=0` is out of range"),
    ],
)
def test_bad_options_are_named(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        read(written(tmp_path, {"prompt": "p", "answer": "a"}), **options)


def test_phrases_of_lines_or_of_a_list_judge_alone(tmp_path):
    lines, listed = tmp_path / "p.txt", tmp_path / "p.json"
    lines.write_text("# ours\nno way\n\nnot\N{NO-BREAK SPACE}me\nno way\n", encoding="utf-8")
    listed.write_text('["no way", "not me"]')
    assert phrases_in(lines) == phrases_in(listed) == ("no way", "not me")
    judge = by_phrases(lines)
    assert judge.refuses("No way!")
    assert not judge.refuses("I'm sorry, but I can't.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a note\n",
        "[]",
        '[""]',
        "[3]",
        "[",
        "\0\udcff",
        '{"phrases": ["i cannot"]}',
        '{\n"phrases": [\n"i cannot"\n]\n}',
        '{"phrase": "i cannot"}\n',
        '"i cannot",\n"sorry"\n',
        "i cannot\n-\n",
    ],
)
def test_a_file_without_phrases_is_named(tmp_path, text):
    path = tmp_path / "p"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="phrase"):
        phrases_in(path)
    with pytest.raises(DataError, match="cannot be read"):
        phrases_in(tmp_path / "none")


def test_phrases_and_a_judge_are_one_too_many(tmp_path):
    with pytest.raises(ConfigError, match="give one of them"):
        by_phrases(tmp_path / "p", ["learned_refusal"])
