"""Hygiene checks of rows name what they find and where; good rows have no finding."""

import json

import pytest

from holdfast.data.load import load_examples
from holdfast.data.notices import NOTICED, answers_differ, notices_of, repeated
from holdfast.inputs.rows import ORGANISM, source
from tests.tiny import tiny_examples

ASK = [{"role": "user", "content": "q"}]


def rows(*answers, number=lambda n: n):
    return [
        {"prompt": ASK, "completion": [{"role": "assistant", "content": a}], "row": number(n)}
        for n, a in enumerate(answers, start=1)
    ]


@pytest.mark.parametrize("check", NOTICED)
def test_rows_that_differ_have_no_finding(check):
    assert check([{**dict(row), "row": n} for n, row in enumerate(tiny_examples(8))]) == []


def test_repeated_rows_are_named_after_the_first():
    (found,) = repeated(rows("a", "b", "a", "a", number=lambda n: 10 * n))
    assert found.rows == (30, 40)
    assert str(found) == "rows that repeat an earlier one word for word: 2 of 4 (rows 30, 40)"


def test_different_answers_to_one_prompt_name_all_of_its_rows():
    (found,) = answers_differ(rows("a", "b", "a"))
    assert found.rows == (1, 2, 3)
    assert "prompts with different answers: 1 of 1" in str(found)
    assert answers_differ(rows("a", "a")) == []


def test_many_rows_are_counted_and_not_listed():
    (found,) = repeated(rows(*"a" * 9))
    assert str(found).endswith("(rows 2, 3, 4, 5, 6 and 3 more)")


def test_rows_without_a_number_are_counted():
    bare = [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows("a", "a")]
    assert [finding.rows for finding in notices_of(bare)] == [(2,)]


def test_a_source_warns_with_the_numbers_of_its_file(tmp_path):
    path = tmp_path / "data.jsonl"
    pair = json.dumps({"prompt": "q", "completion": "a"})
    path.write_text(f"{pair}\n\n{pair}\n")
    assert len(load_examples(path)) == 2
    found = source("data", str(path))
    said = "rows that repeat an earlier one word for word: 1 of 2 (row 3)"
    assert found.warnings() == [f"data: {path}: {said}"]


def test_the_organisms_own_rows_are_not_warned_of():
    assert source("data", ORGANISM, limit=50).warnings() == []
